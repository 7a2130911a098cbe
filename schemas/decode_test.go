package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// record makes a valid record of our own shape with more members behind it.
func record(more string) string {
	r := `{"timestamp":"2026-01-01T00:00:00.5Z","client_ip":"198.51.100.7","method":"GET","path":"/x","status":200`
	if more != "" {
		r += "," + more
	}
	return r + "}"
}

func newDecoder(t testing.TB, o Options) *Decoder {
	t.Helper()
	d, err := NewDecoder(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// reasonOf gives the reason of a *BadRecord, "" for nil.
func reasonOf(t testing.TB, err error) Reason {
	t.Helper()
	var bad *BadRecord
	if err != nil && (!errors.As(err, &bad) || bad == nil) {
		t.Fatalf("error %v is no *BadRecord", err)
	}
	if bad == nil {
		return ""
	}
	return bad.Reason
}

func TestDecodeAllFields(t *testing.T) {
	d := newDecoder(t, Options{})
	var ev Event
	in := `
	{ "event_id" : "e1", "timestamp":1767225600.25, "client_ip":"[2001:DB8::1]:443", "peer_ip":"::ffff:192.0.2.1",
	"method":"post","path":"\/a%20b?x=1&y=%2F","status":"404","route":"/{x}","service":"shop","host":"h","user_agent":"curl \"8\"",
	"user_id":7,"api_key_id":true,"referer":"","x_forwarded_for":"1.2.3.4, 5.6.7.8","latency_ms":12.5,"request_bytes":"10","bytes":30,
	"response_body":"caf\u00e9 \ud83d\ude00 \ud800","response_fields":{"a":[1, 2]},"blocked":"true","client\u005fx":{"b":1},"n":null } `
	if err := d.Decode([]byte(in), &ev); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{
		"time": Micros(ev.Time).String(), "client": ev.ClientIP.String(), "peer": ev.PeerIP.String(), "method": string(ev.Method),
		"path": string(ev.Path), "query": string(ev.Query), "status": fmt.Sprint(ev.Status), "route": string(ev.Route), "service": string(ev.Service),
		"host": string(ev.Host), "agent": string(ev.UserAgent), "user": string(ev.UserID), "key": string(ev.APIKeyID),
		"xff": string(ev.XForwardedFor), "latency": string(ev.LatencyMS), "in": string(ev.RequestBytes), "out": string(ev.ResponseBytes),
		"body": string(ev.ResponseBody), "fields": string(ev.ResponseFields), "blocked": fmt.Sprint(ev.Blocked), "id": string(ev.EventID),
		"extra": fmt.Sprintf("%s", ev.Extra), "raw": fmt.Sprint(string(ev.Raw) == in), "referer": fmt.Sprint(ev.Referer != nil, len(ev.Referer)),
	}
	want := map[string]string{
		"time": "2026-01-01T00:00:00.250000Z", "client": "2001:db8::1", "peer": "192.0.2.1", "method": "POST",
		"path": "/a%20b", "query": "x=1&y=%2F", "status": "404", "route": "/{x}", "service": "shop",
		"host": "h", "agent": `curl "8"`, "user": "7", "key": "true",
		"xff": "1.2.3.4, 5.6.7.8", "latency": "12.5", "in": "10", "out": "30",
		"body": "café 😀 \ufffd", "fields": `{"a":[1, 2]}`, "blocked": "true", "id": "e1",
		"extra": `[{client_x {"b":1}} {n null}]`, "raw": "true", "referer": "true 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestDecodeReasons(t *testing.T) {
	d := newDecoder(t, Options{})
	with := func(name, value string) string {
		return strings.Replace(record(""), `"`+name+`":`, `"`+name+`":`+value+`,"was":`, 1)
	}
	without := func(name string) string { return strings.Replace(record(""), `"`+name+`"`, `"was"`, 1) }
	for in, want := range map[string]Reason{
		record(""):                       "",
		" \t\r\n" + record("") + "\n":    "",
		"":                               ReasonJSON,
		"  ":                             ReasonJSON,
		"not json":                       ReasonJSON,
		"null":                           ReasonJSON,
		"42":                             ReasonJSON,
		`"text"`:                         ReasonJSON,
		"[" + record("") + "]":           ReasonJSON,
		record("") + "x":                 ReasonJSON,
		record("") + record(""):          ReasonJSON,
		record("") + "\x00":              ReasonJSON,
		"\xef\xbb\xbf" + record(""):      ReasonJSON,
		"\xff":                           ReasonUTF8,
		"not json \xff":                  ReasonUTF8,
		record("\"a\":\"\xc3\x28\""):     ReasonUTF8,
		record("\"\xed\xa0\x80\":1"):     ReasonUTF8,
		record("\"a\":\"x\x00y\""):       ReasonJSON,
		record("\"a\":\"x\ny\""):         ReasonJSON,
		record(`"a":"\x41"`):             ReasonJSON,
		record(`"a":"\u00g0"`):           ReasonJSON,
		record(`"a":01`):                 ReasonJSON,
		record(`"a":+1`):                 ReasonJSON,
		record(`"a":1.`):                 ReasonJSON,
		record(`"a":.5`):                 ReasonJSON,
		record(`"a":1e`):                 ReasonJSON,
		record(`"a":NaN`):                ReasonJSON,
		record(`"a":True`):               ReasonJSON,
		record(`"a":nul`):                ReasonJSON,
		record(`"a":[1,]`):               ReasonJSON,
		record(`"a":{"b":1,}`):           ReasonJSON,
		record(`"a":{"b"}`):              ReasonJSON,
		record(`"a":{b:1}`):              ReasonJSON,
		record(`"a":[1}`):                ReasonJSON,
		record(`"a":1,`):                 ReasonJSON,
		`{}`:                             ReasonClientIP,
		without("client_ip"):             ReasonClientIP,
		with("client_ip", "null"):        ReasonClientIP,
		with("client_ip", `""`):          ReasonClientIP,
		with("client_ip", "1"):           ReasonClientIP,
		with("client_ip", `["1.2.3.4"]`): ReasonClientIP,
		with("client_ip", `"*"`):         ReasonClientIP,
		without("method"):                ReasonMethod,
		with("method", "null"):           ReasonMethod,
		with("method", `""`):             ReasonMethod,
		with("method", "5"):              ReasonMethod,
		without("path"):                  ReasonPath,
		with("path", `""`):               ReasonPath,
		with("path", `"?x=1"`):           ReasonPath,
		with("path", "{}"):               ReasonPath,
		without("status"):                ReasonStatus,
		with("status", "99"):             ReasonStatus,
		with("status", "0"):              ReasonStatus,
		with("status", "-200"):           ReasonStatus,
		with("status", "600"):            ReasonStatus,
		with("status", "1e99"):           ReasonStatus,
		with("status", "200.5"):          ReasonStatus,
		with("status", `"2xx"`):          ReasonStatus,
		with("status", `"0200"`):         ReasonStatus,
		with("status", `" 200"`):         ReasonStatus,
		with("status", "true"):           ReasonStatus,
		with("status", `"404"`):          "",
		with("status", "2e2"):            "",
		with("status", "200.0"):          "",
		with("status", "599"):            "",
		with("timestamp", `""`):          ReasonTimestamp,
		with("timestamp", `"yesterday"`): ReasonTimestamp,
		with("timestamp", "true"):        ReasonTimestamp,
		with("timestamp", "[]"):          ReasonTimestamp,
		with("timestamp", "-1"):          ReasonTimestamp,
		with("timestamp", "null"):        "",
		without("timestamp"):             "",
	} {
		var ev Event
		err := d.Decode([]byte(in), &ev)
		if got := reasonOf(t, err); got != want {
			t.Errorf("%q: %v, want reason %q", in, err, want)
		}
	}
}

// The last of duplicate keys counts, also where it is null or of another spelling.
func TestDecodeDuplicates(t *testing.T) {
	d := newDecoder(t, Options{})
	var ev Event
	if err := d.Decode([]byte(record(`"user_id":"a","user_id":null,"method":"PUT","host":"a","h\u006fst":"b","status":404,"timestamp":"x","timestamp":null,"query":"q","path":"/y?z","k":1,"k":2`)), &ev); err != nil {
		t.Fatal(err)
	}
	if ev.UserID != nil || string(ev.Method) != "PUT" || string(ev.Host) != "b" || ev.Status != 404 || ev.HasTime || string(ev.Path) != "/y" ||
		string(ev.Query) != "q" || string(ev.Lookup("k")) != "2" || ev.Lookup("none") != nil {
		t.Errorf("decoded %+v", ev)
	}
	for more, want := range map[string]Reason{
		`"client_ip":null`: ReasonClientIP, `"method":""`: ReasonMethod, `"path":null`: ReasonPath, `"status":[]`: ReasonStatus, `"timestamp":"x"`: ReasonTimestamp,
	} {
		if got := reasonOf(t, d.Decode([]byte(record(more)), &ev)); got != want {
			t.Errorf("%s: reason %q, want %q", more, got, want)
		}
	}
}

func TestDecodeOptionalTypes(t *testing.T) {
	d := newDecoder(t, Options{})
	var ev Event
	for more, want := range map[string]string{
		`"latency_ms":"1.5e3"`:                          "1.5e3",
		`"latency_ms":" 1"`:                             "",
		`"latency_ms":"0x1"`:                            "",
		`"latency_ms":true`:                             "",
		`"latency_ms":null`:                             "",
		`"user_agent":["a"]`:                            "",
		`"user_agent":{"original":"a"}`:                 "",
		`"user_agent":-1.0`:                             "-1.0",
		`"user_agent":false`:                            "false",
		`"response_bytes":5,"bytes":6`:                  "5",
		`"bytes":6,"response_bytes":null`:               "6",
		`"bytes":"x"`:                                   "",
		`"response_body":{"a": "b"}`:                    `{"a": "b"}`,
		`"response_body":[1]`:                           `[1]`,
		`"response_body":5`:                             "5",
		`"response_body":null`:                          "",
		`"response_fields":[1]`:                         "",
		`"response_fields":"{}"`:                        "",
		`"peer_ip":"nobody"`:                            "",
		`"query":"?a"`:                                  "a",
		`"x_forwarded_for":"\u0031.1.1.1"`:              "1.1.1.1",
		`"blocked":true`:                                "blocked",
		`"blocked":"true"`:                              "blocked",
		`"blocked":1`:                                   "blocked",
		`"blocked":"yes"`:                               "",
		`"blocked":0`:                                   "",
		`"blocked":1.0`:                                 "",
		`"blocked":true,"blocked":null`:                 "",
		`"blocked":false,"extra":{"blocked":true}`:      "",
		`"response_fields":{"a":1},"response_fields":1`: "",
	} {
		if err := d.Decode([]byte(record(more)), &ev); err != nil {
			t.Errorf("%s: %v", more, err)
			continue
		}
		got := ""
		for _, b := range [][]byte{ev.LatencyMS, ev.UserAgent, ev.ResponseBytes, ev.ResponseBody, ev.ResponseFields, ev.Query, ev.XForwardedFor} {
			got += string(b)
		}
		if ev.PeerIP.IsValid() {
			got += "peer"
		}
		if ev.Blocked {
			got += "blocked"
		}
		if got != want {
			t.Errorf("%s gives %q, want %q", more, got, want)
		}
	}
}

func TestDecodeExtremes(t *testing.T) {
	d := newDecoder(t, Options{})
	var ev Event
	nested := func(open, shut string, n int) string {
		return record(`"a":` + strings.Repeat(open, n) + strings.Repeat(shut, n))
	}
	for _, c := range []struct {
		name string
		in   string
		want Reason
	}{
		{"arrays as deep as encoding/json allows", nested("[", "]", 9_999), ""},
		{"arrays one deeper", nested("[", "]", 10_000), ReasonJSON},
		{"100,000 deep", nested("[", "]", 100_000), ReasonJSON},
		{"objects as deep", record(`"a":` + strings.Repeat(`{"a":`, 9_998) + "{}" + strings.Repeat("}", 9_998)), ""},
		{"objects one deeper", record(`"a":` + strings.Repeat(`{"a":`, 9_999) + "{}" + strings.Repeat("}", 9_999)), ReasonJSON},
		{"only opening brackets", strings.Repeat(`{"a":`, 200_000), ReasonJSON},
		{"as large as allowed", record(`"a":"` + strings.Repeat("x", 1<<20-len(record(`"a":""`))) + `"`), ""},
		{"one byte larger", record(`"a":"` + strings.Repeat("x", 1<<20-len(record(`"a":""`))+1) + `"`), ReasonTooLarge},
		{"5 MB", strings.Repeat("x", 5<<20), ReasonTooLarge},
		{"5 MB of no UTF-8", strings.Repeat("\xff", 5<<20), ReasonTooLarge},
	} {
		if c.want != ReasonTooLarge && json.Valid([]byte(c.in)) != (c.want == "") {
			t.Errorf("%s: encoding/json thinks otherwise", c.name)
		}
		if got := reasonOf(t, d.Decode([]byte(c.in), &ev)); got != c.want {
			t.Errorf("%s: reason %q, want %q", c.name, got, c.want)
		}
	}
	small := newDecoder(t, Options{MaxRecordBytes: 10})
	if got := reasonOf(t, small.Decode([]byte(record("")), &ev)); got != ReasonTooLarge {
		t.Errorf("over the option's limit: reason %q", got)
	}
}

// A record that ends anywhere is refused, and so is one with any byte replaced by
// a NUL.
func TestDecodeTruncated(t *testing.T) {
	d := newDecoder(t, Options{})
	var ev Event
	whole := []byte(record(`"response_body":"\u00e9\n","a":[{"b":-1.5e+3},true,false,null,{}],"é":"ü"`))
	for i := range whole {
		cut := whole[:i:i]
		if got := reasonOf(t, d.Decode(cut, &ev)); got != ReasonJSON && got != ReasonUTF8 {
			t.Fatalf("%q: reason %q", cut, got)
		}
		zeroed := bytes.Clone(whole)
		zeroed[i] = 0
		if got := reasonOf(t, d.Decode(zeroed, &ev)); got != ReasonJSON && got != ReasonUTF8 {
			t.Fatalf("%q: reason %q", zeroed, got)
		}
	}
}

// What a decoder gives for a record does not depend on those before.
func TestDecodeForgets(t *testing.T) {
	d := newDecoder(t, Options{})
	var ev Event
	if err := d.Decode([]byte(record(`"user_id":"u","peer_ip":"1.1.1.1","bytes":1,"blocked":true,"query":"q","x":1`)), &ev); err != nil {
		t.Fatal(err)
	}
	if reasonOf(t, d.Decode([]byte(`{}`), &ev)) != ReasonClientIP {
		t.Error("a required field outlived its record")
	}
	if err := d.Decode([]byte(record("")), &ev); err != nil {
		t.Fatal(err)
	}
	if ev.UserID != nil || ev.PeerIP.IsValid() || ev.ResponseBytes != nil || ev.Blocked || ev.Query != nil || len(ev.Extra) != 0 {
		t.Errorf("decoded %+v", ev)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	d := newDecoder(t, Options{})
	var ev Event
	escaped := []byte(record(`"method":"get","response_body":"{\"a\":\"caf\u00e9\"}","more":[{"a":{}}],"peer_ip":"2001:db8::1"`))
	for _, in := range [][]byte{benchRecord(), escaped} {
		if n := testing.AllocsPerRun(100, func() {
			if err := d.Decode(in, &ev); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations for %s", n, in)
		}
	}
}
