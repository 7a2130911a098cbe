package schemas

import (
	"encoding/binary"
	"net/netip"
)

// field is one field of an Event that a record can set.
type field uint8

const (
	fieldNone field = iota // not ours: goes to Extra
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
	fieldBytes // stands in for response_bytes
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
	fieldCount
)

// fieldOf finds a field by its name in our own shape.
func fieldOf(name []byte) field {
	switch string(name) {
	case "client_ip":
		return fieldClientIP
	case "method":
		return fieldMethod
	case "path":
		return fieldPath
	case "status":
		return fieldStatus
	case "timestamp":
		return fieldTimestamp
	case "event_id":
		return fieldEventID
	case "route":
		return fieldRoute
	case "service":
		return fieldService
	case "latency_ms":
		return fieldLatencyMS
	case "query":
		return fieldQuery
	case "request_bytes":
		return fieldRequestBytes
	case "response_bytes":
		return fieldResponseBytes
	case "bytes":
		return fieldBytes
	case "user_agent":
		return fieldUserAgent
	case "user_id":
		return fieldUserID
	case "api_key_id":
		return fieldAPIKeyID
	case "referer":
		return fieldReferer
	case "host":
		return fieldHost
	case "peer_ip":
		return fieldPeerIP
	case "x_forwarded_for":
		return fieldXForwardedFor
	case "response_body":
		return fieldResponseBody
	case "response_fields":
		return fieldResponseFields
	case "blocked":
		return fieldBlocked
	}
	return fieldNone
}

// EventFields gives the names of an event's fields in our own shape, those that
// every event must have first.
func EventFields() []string {
	return []string{
		"client_ip", "method", "path", "status",
		"timestamp", "event_id", "route", "service", "latency_ms", "query",
		"request_bytes", "response_bytes", "user_agent", "user_id", "api_key_id",
		"referer", "host", "peer_ip", "x_forwarded_for", "response_body",
		"response_fields", "blocked",
	}
}

// put is set where the field is needed.
func (d *Decoder) put(ev *Event, f field, v value) {
	if d.needs.has(f) {
		d.set(ev, f, v)
	}
}

// set gives field f of ev the value v; the last one set counts. A value that the
// field cannot have leaves it absent; check says afterwards whether it was needed.
func (d *Decoder) set(ev *Event, f field, v value) {
	switch f {
	case fieldClientIP:
		if ev.ClientIP = d.addr(v); !ev.ClientIP.IsValid() {
			d.refused.note(f, v)
		}
	case fieldMethod:
		if ev.Method = d.upper(v); len(ev.Method) == 0 {
			d.refused.note(f, v)
		}
	case fieldPath:
		if ev.Path = d.stringOf(v); len(ev.Path) == 0 || ev.Path[0] == '?' {
			d.refused.note(f, v)
		}
	case fieldStatus:
		if ev.Status = d.statusOf(v); ev.Status == 0 {
			d.refused.note(f, v)
		}
	case fieldTimestamp:
		if ev.Time, ev.HasTime = d.timeOf(v); !ev.HasTime {
			d.refused.note(f, v)
		}
	case fieldEventID:
		ev.EventID = d.text(v)
	case fieldRoute:
		ev.Route = d.text(v)
	case fieldService:
		ev.Service = d.text(v)
	case fieldLatencyMS:
		ev.LatencyMS = d.number(v)
	case fieldQuery:
		ev.Query = d.text(v)
		if len(ev.Query) > 0 && ev.Query[0] == '?' {
			ev.Query = ev.Query[1:]
		}
	case fieldRequestBytes:
		ev.RequestBytes = d.number(v)
	case fieldResponseBytes:
		ev.ResponseBytes = d.number(v)
	case fieldBytes:
		d.bytes = d.number(v)
	case fieldUserAgent:
		ev.UserAgent = d.text(v)
	case fieldUserID:
		ev.UserID = d.text(v)
	case fieldAPIKeyID:
		ev.APIKeyID = d.text(v)
	case fieldReferer:
		ev.Referer = d.text(v)
	case fieldHost:
		ev.Host = d.text(v)
	case fieldPeerIP:
		ev.PeerIP = d.addr(v)
	case fieldXForwardedFor:
		ev.XForwardedFor = d.text(v)
	case fieldResponseBody:
		ev.ResponseBody = d.text(v)
		if v.kind >= kindObject {
			ev.ResponseBody = v.raw
		}
	case fieldResponseFields:
		ev.ResponseFields = nil
		if v.kind == kindObject {
			ev.ResponseFields = v.raw
		}
	case fieldBlocked:
		ev.Blocked = v.kind == kindTrue || string(d.text(v)) == "true" || v.kind == kindNumber && string(v.raw) == "1"
	}
}

// stringOf gives a string's meaning, nil for anything that is no string.
func (d *Decoder) stringOf(v value) []byte {
	if v.kind == kindString && !v.escaped {
		return v.raw[1 : len(v.raw)-1 : len(v.raw)-1]
	}
	return d.otherString(v)
}

// otherString is stringOf for what is not as usual.
func (d *Decoder) otherString(v value) []byte {
	switch v.kind {
	case kindString:
		return d.unescape(v.raw[1 : len(v.raw)-1])
	case kindText:
		return v.raw
	}
	return nil
}

// unescape gives the meaning of b, the inside of a string.
func (d *Decoder) unescape(b []byte) []byte {
	start := len(d.scratch)
	d.scratch = appendUnescaped(d.scratch, b)
	return d.scratch[start:len(d.scratch):len(d.scratch)]
}

// text gives a string's meaning and the JSON text of a number or boolean; nil for
// null, objects and arrays.
func (d *Decoder) text(v value) []byte {
	if v.kind == kindString && !v.escaped {
		return v.raw[1 : len(v.raw)-1 : len(v.raw)-1]
	}
	return d.otherText(v)
}

// otherText is text for what is not as usual.
func (d *Decoder) otherText(v value) []byte {
	switch v.kind {
	case kindNumber, kindTrue, kindFalse:
		return v.raw
	}
	return d.otherString(v)
}

// addr gives the address that a string is, the zero Addr for anything else.
func (d *Decoder) addr(v value) netip.Addr {
	if v.kind == kindString && !v.escaped {
		if addr, ok := parseDotted(v.raw[1 : len(v.raw)-1]); ok {
			return addr
		}
	}
	addr, _ := ParseAddr(d.stringOf(v))
	return addr
}

// number gives the text of a number, or of a string that is one; nil for the rest.
func (d *Decoder) number(v value) []byte {
	switch v.kind {
	case kindNumber:
		return v.raw
	case kindString, kindText:
		if s := d.stringOf(v); isNumber(s) {
			return s
		}
	}
	return nil
}

// statusOf gives a status from 100 to 599, 0 for anything else.
func (d *Decoder) statusOf(v value) uint16 {
	b := d.number(v)
	if len(b) == 3 {
		tens, ok := twoDigits(b[1], b[2])
		if hundreds := b[0] - '0'; ok && 1 <= hundreds && hundreds <= 5 {
			return uint16(hundreds)*100 + uint16(tens)
		}
	}
	if n, ok := Int(b); ok && 100 <= n && n <= 599 {
		return uint16(n)
	}
	return 0
}

// timeOf reads RFC 3339 text or an epoch number.
func (d *Decoder) timeOf(v value) (int64, bool) {
	switch v.kind {
	case kindNumber:
		return parseEpoch(v.raw)
	case kindString, kindText:
		s := d.stringOf(v)
		if v.kind == kindString && !v.escaped {
			s = v.raw[1 : len(v.raw)-1] // with what is behind it
		}
		if t, ok := d.minute.parseRFC3339(s); ok {
			return t, true
		}
		if isNumber(s) {
			return parseEpoch(s)
		}
	}
	return 0, false
}

// upper gives a string in capitals (ASCII), as it stands where it already is. A method
// is looked at as one word: 9 of 195 ns a record where methods differ.
func (d *Decoder) upper(v value) []byte {
	b := d.stringOf(v)
	if len(v.raw) <= 9 && v.kind == kindString && !v.escaped && cap(v.raw) >= 9 {
		w := binary.LittleEndian.Uint64(v.raw[1:9])
		if !hasSmall(w << ((64 - 8*len(b)) & 63)) {
			return b
		}
	}
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			start := len(d.scratch)
			d.scratch = append(d.scratch, b...)
			b = d.scratch[start:len(d.scratch):len(d.scratch)]
			for ; i < len(b); i++ {
				if 'a' <= b[i] && b[i] <= 'z' {
					b[i] -= 'a' - 'A'
				}
			}
			return b
		}
	}
	return b
}

// hasSmall says whether a byte of w is a small letter (ASCII).
func hasSmall(w uint64) bool {
	low7 := w & (eachByte * 0x7f)
	return (low7+eachByte*(0x80-'a'))&^(low7+eachByte*(0x7f-'z'))&^w&highBits != 0
}
