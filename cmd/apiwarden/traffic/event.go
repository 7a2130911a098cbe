package traffic

import (
	"net/netip"
	"strconv"
	"time"
)

// Event is one request as the gateway logs it. It is valid until the generator's
// next step.
type Event struct {
	Time      int64      // µs since 1970
	Client    netip.Addr // whose request it is; canonical
	ClientIP  string     // how the gateway spells Client; empty: canonically
	Method    string
	Path      string // with the query string, if any
	Route     string // empty: the gateway knows no template
	Status    int
	LatencyMS float64
	Service   string
	Request   int // bytes
	Response  int // bytes
	Agent     string
	User      string
	Body      string // response body; empty: not logged
	Blocked   bool   // refused because of a ban
}

// AppendJSON appends e as one JSON object in apiwarden's own event shape.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"timestamp":"`...)
	dst = time.UnixMicro(e.Time).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	dst = append(dst, `","client_ip":"`...)
	if e.ClientIP != "" {
		dst = append(dst, e.ClientIP...)
	} else {
		dst = e.Client.AppendTo(dst)
	}
	dst = append(dst, `","method":"`...)
	dst = append(dst, e.Method...)
	dst = appendText(dst, `","path":`, e.Path)
	if e.Route != "" {
		dst = appendText(dst, `,"route":`, e.Route)
	}
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(e.Status), 10)
	dst = append(dst, `,"latency_ms":`...)
	dst = strconv.AppendFloat(dst, e.LatencyMS, 'f', 2, 64)
	dst = append(dst, `,"host":"shop.example","service":"`...)
	dst = append(dst, e.Service...)
	dst = append(dst, `","request_bytes":`...)
	dst = strconv.AppendInt(dst, int64(e.Request), 10)
	dst = append(dst, `,"response_bytes":`...)
	dst = strconv.AppendInt(dst, int64(e.Response), 10)
	dst = appendText(dst, `,"user_agent":`, e.Agent)
	if e.User != "" {
		dst = appendText(dst, `,"user_id":`, e.User)
	}
	if e.Body != "" {
		dst = appendText(dst, `,"response_body":`, e.Body)
	}
	if e.Blocked {
		dst = append(dst, `,"blocked":true`...)
	}
	return append(dst, '}')
}

// appendText appends before and s as a JSON string. s is ASCII.
func appendText(dst []byte, before, s string) []byte {
	dst = append(dst, before...)
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
		} else {
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
