package schemas

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzDecode compares the decoder with encoding/json: same records refused, same
// values found.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		record(""), `{}`, `{"a":1}x`, "\xef\xbb\xbf{}", "{\"a\":\"\x00\"}", `{"a":"\ud800\udc00\ud800"}`, `{"\u0061":"\ud800\u0041"}`,
		record(`"bytes":1,"response_bytes":"2","query":"?x","path":"/a?b?c"`), record(`"client_ip":null`), record(`"timestamp":1767225600123`),
		record(`"timestamp":"1.7672256e9"`), record(`"timestamp":1767225600.1234567`), record(`"timestamp":"2026-02-29T00:00:00Z"`),
		record(`"timestamp":"2024-02-29 23:59:59.9999999+23:59"`), record(`"method":"pOsT","status":"2.0e2","latency_ms":-0.0e-1`),
		record(`"response_body":{"a":[1,{"b":null}]},"response_fields":{"x":{}},"blocked":1,"user_id":1e5`),
		record(`"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20)), record(`"\"":"\\","\\u0000":"\u0000"`), "{\"\xe2\x80\xa8\":\"\xf0\x9f\x98\x80\"}",
	} {
		f.Add([]byte(seed))
	}
	own := newDecoder(f, Options{})
	// The same names through the walk that presets take; the path finds nothing.
	walk := newDecoder(f, Options{Fields: map[string]string{"user_agent": "nowhere.to.be.found"}})
	f.Fuzz(func(t *testing.T, in []byte) {
		// Twice: the second time with the order of names that the first time taught it.
		for _, d := range []*Decoder{own, own, walk} {
			var ev Event
			err := d.Decode(in, &ev)
			if got, want := reasonOf(t, err), wantReason(t, in, &ev); got != want {
				t.Fatalf("%q: %v, want reason %q", in, err, want)
			}
			if err == nil {
				compareFields(t, in, &ev)
				compareAgain(t, &ev)
			}
		}
	})
}

// wantReason judges a record by means of encoding/json. What is an address is
// FuzzParseAddr's matter.
func wantReason(t *testing.T, in []byte, ev *Event) Reason {
	members, ok := membersOf(in)
	switch {
	case len(in) > DefaultMaxRecordBytes:
		return ReasonTooLarge
	case !utf8.Valid(in):
		return ReasonUTF8
	case !ok:
		return ReasonJSON
	case !ev.ClientIP.IsValid():
		return ReasonClientIP
	case text(members["method"]) == "" || members["method"][0] != '"':
		return ReasonMethod
	}
	path, _, _ := strings.Cut(text(members["path"]), "?")
	if path == "" || members["path"][0] != '"' {
		return ReasonPath
	}
	status, ok := exact(members["status"])
	if !ok || !status.IsInt() || !status.Num().IsInt64() || status.Num().Int64() < 100 || status.Num().Int64() > 599 {
		return ReasonStatus
	}
	if ts := members["timestamp"]; ts != nil && string(ts) != "null" && !ev.HasTime {
		if n, ok := exact(ts); ok && n.Sign() >= 0 && n.Cmp(big.NewRat(7258118400, 1)) < 0 {
			t.Fatalf("timestamp %s was refused", ts)
		}
		return ReasonTimestamp
	}
	return ""
}

func membersOf(in []byte) (map[string]json.RawMessage, bool) {
	var members map[string]json.RawMessage
	if !bytes.HasPrefix(bytes.TrimLeft(in, " \t\r\n"), []byte("{")) || json.Unmarshal(in, &members) != nil {
		return nil, false
	}
	return members, true
}

// text is what a text field has for a raw value.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	if len(raw) > 0 && raw[0] != '{' && raw[0] != '[' && string(raw) != "null" {
		return string(raw)
	}
	return ""
}

// exact gives a number, or a text that is one, as a fraction. Exponents beyond
// reason are no numbers here.
func exact(raw json.RawMessage) (*big.Rat, bool) {
	s := text(raw)
	if s == "" || !json.Valid([]byte(s)) || strings.TrimLeft(s[:1], "-0123456789") != "" || strings.TrimSpace(s) != s {
		return nil, false
	}
	if _, e, ok := strings.Cut(strings.ToLower(s), "e"); ok {
		if n, err := strconv.Atoi(e); err != nil || n > 1000 || n < -1000 {
			return new(big.Rat).SetFrac64(-1, 3), true
		}
	}
	return new(big.Rat).SetString(s)
}

func compareFields(t *testing.T, in []byte, ev *Event) {
	members, _ := membersOf(in)
	path, query, cut := strings.Cut(text(members["path"]), "?")
	if q := members["query"]; q != nil && string(q) != "null" && q[0] != '{' && q[0] != '[' {
		query, cut = strings.TrimPrefix(text(q), "?"), true
	}
	upper := []byte(text(members["method"]))
	for i, c := range upper {
		if 'a' <= c && c <= 'z' {
			upper[i] = c - 32
		}
	}
	body := text(members["response_body"])
	if raw := members["response_body"]; len(raw) > 0 && (raw[0] == '{' || raw[0] == '[') {
		body = string(raw)
	}
	for _, c := range []struct {
		name      string
		got, want string
	}{
		{"method", string(ev.Method), string(upper)},
		{"path", string(ev.Path), path},
		{"query", string(ev.Query), query},
		{"query's presence", strconv.FormatBool(ev.Query != nil), strconv.FormatBool(cut)},
		{"user_agent", string(ev.UserAgent), text(members["user_agent"])},
		{"user_id", string(ev.UserID), text(members["user_id"])},
		{"response_body", string(ev.ResponseBody), body},
	} {
		if c.got != c.want {
			t.Fatalf("%q: %s is %q, want %q", in, c.name, c.got, c.want)
		}
	}
	if want, ok := exact(members["latency_ms"]); ok != (ev.LatencyMS != nil) {
		t.Fatalf("%q: latency_ms is %q, want %v", in, ev.LatencyMS, want)
	}
	if n, ok := exact(members["timestamp"]); ok && ev.HasTime {
		compareEpoch(t, n, ev.Time)
	}
	for name, raw := range members {
		if got := ev.Lookup(name); fieldOf([]byte(name)) == fieldNone && !bytes.Equal(got, raw) {
			t.Fatalf("%q: %q is %q, want %q", in, name, got, raw)
		}
	}
	for _, m := range ev.Extra {
		if _, ok := members[string(m.Key)]; !ok || fieldOf(m.Key) != fieldNone {
			t.Fatalf("%q: there is no %q", in, m.Key)
		}
	}
}

// compareEpoch checks a time against the number it came from.
func compareEpoch(t *testing.T, n *big.Rat, micros int64) {
	if n.Sign() < 0 { // an exponent beyond reason
		return
	}
	unit := big.NewRat(1, 1000)
	for _, u := range []struct {
		below string
		unit  int64
	}{{"1e17", 1}, {"1e14", 1000}, {"1e11", 1_000_000}} {
		limit, _ := new(big.Rat).SetString(u.below)
		if n.Cmp(limit) < 0 {
			unit = big.NewRat(u.unit, 1)
		}
	}
	n = new(big.Rat).Mul(n, unit)
	if whole := new(big.Int).Quo(n.Num(), n.Denom()); !whole.IsInt64() || whole.Int64() != micros {
		t.Fatalf("time is %d, want %s", micros, whole)
	}
}

// compareAgain checks that the event written in our own shape is read as the same.
func compareAgain(t *testing.T, ev *Event) {
	written := ev.AppendJSON(nil)
	if !json.Valid(written) {
		t.Fatalf("%q was written as %q", ev.Raw, written)
	}
	var again Event
	if len(written) > DefaultMaxRecordBytes {
		return
	}
	if err := newDecoder(t, Options{}).Decode(written, &again); err != nil {
		t.Fatalf("%q was written as %q: %v", ev.Raw, written, err)
	}
	if twice := again.AppendJSON(nil); !bytes.Equal(twice, written) {
		t.Fatalf("%q was written as\n%q, and then as\n%q", ev.Raw, written, twice)
	}
}
