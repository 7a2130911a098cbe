package detector

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/apiwarden/apiwarden/schemas"
)

// eventField is a field of schemas.Event; fieldUnknown is every other name, found
// in Event.Extra.
type eventField uint8

const (
	fieldUnknown eventField = iota
	fieldClientIP
	fieldMethod
	fieldPath
	fieldStatus
	fieldTimestamp
	fieldEventID
	fieldRoute
	fieldService
	fieldLatencyMS
	fieldQuery
	fieldRequestBytes
	fieldResponseBytes
	fieldUserAgent
	fieldUserID
	fieldAPIKeyID
	fieldReferer
	fieldHost
	fieldPeerIP
	fieldXForwardedFor
	fieldResponseBody
	fieldResponseFields
	fieldBlocked
)

// eventFields holds the fields by their JSON names.
var eventFields = map[string]eventField{
	"client_ip":       fieldClientIP,
	"method":          fieldMethod,
	"path":            fieldPath,
	"status":          fieldStatus,
	"timestamp":       fieldTimestamp,
	"event_id":        fieldEventID,
	"route":           fieldRoute,
	"service":         fieldService,
	"latency_ms":      fieldLatencyMS,
	"query":           fieldQuery,
	"request_bytes":   fieldRequestBytes,
	"response_bytes":  fieldResponseBytes,
	"bytes":           fieldResponseBytes, // as gateways call it; our own shape takes it for response_bytes
	"user_agent":      fieldUserAgent,
	"user_id":         fieldUserID,
	"api_key_id":      fieldAPIKeyID,
	"referer":         fieldReferer,
	"host":            fieldHost,
	"peer_ip":         fieldPeerIP,
	"x_forwarded_for": fieldXForwardedFor,
	"response_body":   fieldResponseBody,
	"response_fields": fieldResponseFields,
	"blocked":         fieldBlocked,
}

// text gives a field that is text as it stands in the event; nil for one that the
// event lacks or that is no text.
func (f eventField) text(ev *schemas.Event) []byte {
	switch f {
	case fieldMethod:
		return ev.Method
	case fieldPath:
		return ev.Path
	case fieldEventID:
		return ev.EventID
	case fieldRoute:
		return ev.Route
	case fieldService:
		return ev.Service
	case fieldQuery:
		return ev.Query
	case fieldUserAgent:
		return ev.UserAgent
	case fieldUserID:
		return ev.UserID
	case fieldAPIKeyID:
		return ev.APIKeyID
	case fieldReferer:
		return ev.Referer
	case fieldHost:
		return ev.Host
	case fieldXForwardedFor:
		return ev.XForwardedFor
	case fieldResponseBody:
		return ev.ResponseBody
	}
	return nil
}

// number gives a field that is a number as JSON text; nil as for text.
func (f eventField) number(ev *schemas.Event) []byte {
	switch f {
	case fieldLatencyMS:
		return ev.LatencyMS
	case fieldRequestBytes:
		return ev.RequestBytes
	case fieldResponseBytes:
		return ev.ResponseBytes
	}
	return nil
}

// sample gives a value of the type that value gives, for type checks; nil where
// that is not known.
func (f eventField) sample() any {
	switch f {
	case fieldUnknown, fieldResponseFields:
		return nil
	case fieldStatus, fieldRequestBytes, fieldResponseBytes:
		return 0
	case fieldLatencyMS:
		return 0.0
	case fieldBlocked:
		return false
	}
	return ""
}

// value gives a field as conditions see it: text, int, float64, bool, what JSON
// decodes to, nil for what the event lacks. name is that of an unknown field.
func (f eventField) value(ev *schemas.Event, name string) any {
	switch f {
	case fieldUnknown:
		return jsonValue(ev.Lookup(name))
	case fieldClientIP:
		if ev.ClientIP.IsValid() {
			return ev.ClientIP.String()
		}
		return nil
	case fieldPeerIP:
		if ev.PeerIP.IsValid() {
			return ev.PeerIP.String()
		}
		return nil
	case fieldStatus:
		return int(ev.Status)
	case fieldTimestamp:
		if ev.HasTime {
			return schemas.Micros(ev.Time).String()
		}
		return nil
	case fieldLatencyMS, fieldRequestBytes, fieldResponseBytes:
		if n := f.number(ev); n != nil {
			return numberValue(string(n))
		}
		return nil
	case fieldBlocked:
		return ev.Blocked
	case fieldResponseFields:
		return jsonValue(ev.ResponseFields)
	}
	if text := f.text(ev); text != nil {
		return string(text)
	}
	return nil
}

// jsonValue decodes raw JSON; nil for none, for null and for what is no JSON.
func jsonValue(raw []byte) any {
	if raw == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return withNumbers(v)
}

// withNumbers replaces json.Number by int where it is one, else by float64.
func withNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return numberValue(string(v))
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = withNumbers(v[k])
		}
	}
	return v
}

func numberValue(text string) any {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil
	}
	return x
}
