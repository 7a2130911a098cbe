package schemas

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestPresetsOfTheContract(t *testing.T) {
	want := []string{"json", "combined", "nginx-json", "envoy", "traefik", "caddy", "kong", "aws-alb", "aws-apigw", "ecs", "otel"}
	if got := Presets(); !slices.Equal(got, want) {
		t.Errorf("Presets() = %v, want %v", got, want)
	}
	for _, name := range want {
		if got := IsText(name); got != (name == "combined" || name == "aws-alb") {
			t.Errorf("IsText(%s) = %v", name, got)
		}
		newDecoder(t, Options{Preset: name})
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Preset: "nginx"}, "did you mean nginx-json?"},
		{Options{Preset: "treafik"}, "did you mean traefik?"},
		{Options{Preset: "JSON"}, "one of json, combined,"},
		{Options{Fields: map[string]string{"client": "a"}}, "did you mean client_ip?"},
		{Options{Preset: "caddy", Fields: map[string]string{"bytes": "a"}}, `no field "bytes"`},
		{Options{Fields: map[string]string{"path": ""}}, "the path is empty"},
		{Options{Preset: "combined", Fields: map[string]string{"path": "a"}}, "lines of text"},
		{Options{MaxRecordBytes: -1}, "max_record_bytes"},
	} {
		if _, err := NewDecoder(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewDecoder(%+v): %v, want %q", c.o, err, c.want)
		}
	}
}

func TestFields(t *testing.T) {
	d := newDecoder(t, Options{Fields: map[string]string{
		"client_ip": "net.remote", "status": "codes.#(of==\"edge\").code", "user_id": "@who", "timestamp": "at", "path": `req\.path`, "method": "verbs.0",
		"x_forwarded_for": "hops", "service": "@this.tags.service",
	}})
	var ev Event
	in := `{"net":{"remote":"198.51.100.7","port":5},"codes":[{"of":"origin","code":500},{"of":"edge","code":403}],"@who":"ann","at":"17/May/2015:10:05:03 +0000",` +
		`"req.path":"/a\u002fb?c","verbs":["get"],"hops":"1.1.1.1","tags":{"service":"shop"},"client_ip":"203.0.113.1","host":"h","other":null}`
	if err := d.Decode([]byte(in), &ev); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %d %s %s %s %s %s %s %s %s", ev.ClientIP, ev.Status, ev.UserID, Micros(ev.Time), ev.Path, ev.Query, ev.Method, ev.XForwardedFor, ev.Service, ev.Host)
	if want := "198.51.100.7 403 ann 2015-05-17T10:05:03.000000Z /a/b c GET 1.1.1.1 shop h"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var names []string
	for _, m := range ev.Extra {
		names = append(names, string(m.Key))
	}
	if want := []string{"net", "codes", "req.path", "verbs", "tags", "other"}; !slices.Equal(names, want) {
		t.Errorf("extra members %v, want %v", names, want)
	}

	// Where a path finds nothing, our own name or the preset's counts.
	if err := d.Decode([]byte(`{"client_ip":"203.0.113.1","method":"GET","path":"/","status":200,"net":{"remote":null}}`), &ev); err != nil || ev.ClientIP.String() != "203.0.113.1" {
		t.Errorf("own names: %v, %v", ev.ClientIP, err)
	}
	traefik := newDecoder(t, Options{Preset: "traefik", Fields: map[string]string{"client_ip": "request_X-Real-Ip", "api_key_id": "request_X-Api-Key"}})
	for in, want := range map[string]string{
		`{"ClientHost":"10.0.0.1","request_X-Real-Ip":"198.51.100.7","request_X-Api-Key":"k","RequestMethod":"GET","RequestPath":"/","DownstreamStatus":200}`: "198.51.100.7 k",
		`{"ClientHost":"10.0.0.1","request_X-Real-Ip":"-","RequestMethod":"GET","RequestPath":"/","DownstreamStatus":200}`:                                    "10.0.0.1 ",
	} {
		if err := traefik.Decode([]byte(in), &ev); err != nil || fmt.Sprintf("%s %s", ev.ClientIP, ev.APIKeyID) != want {
			t.Errorf("%s: %v %s, %v", in, ev.ClientIP, ev.APIKeyID, err)
		}
	}
}

// Every preset refuses what is no record, and none panics.
func TestPresetsOnBadRecords(t *testing.T) {
	for _, name := range Presets() {
		d := newDecoder(t, Options{Preset: name})
		var ev Event
		for _, in := range []string{"", " ", "{", "null", "[]", "not json", "\x00", "\xef\xbb\xbf{}", strings.Repeat("[", 100_000), strings.Repeat(`{"attributes":`, 50_000), `{"a":1}}`} {
			if got := reasonOf(t, d.Decode([]byte(in), &ev)); got != ReasonJSON {
				t.Errorf("%s: %.20q: reason %q", name, in, got)
			}
		}
		if got := reasonOf(t, d.Decode([]byte("{\"a\":\"\xff\"}"), &ev)); got != ReasonUTF8 {
			t.Errorf("%s: reason %q for what is not UTF-8", name, got)
		}
		if got := reasonOf(t, d.Decode(make([]byte, 5<<20), &ev)); got != ReasonTooLarge {
			t.Errorf("%s: reason %q for 5 MB", name, got)
		}
	}
}

// FuzzPresets looks for panics, and for events that change when they are written
// and read again.
func FuzzPresets(f *testing.F) {
	f.Add(`198.51.100.7 - - [17/May/2015:10:05:03 +0000] "GET /x HTTP/1.1" 200 12 "-" "a"`)
	f.Add(`http 2018-07-02T22:23:00.186641Z app/x/1 192.168.131.39:2817 - 0.000 -1 0.0 200 - 34 366 "GET http://www.example.com:80/ HTTP/1.1" "c"`)
	f.Add(`{"attributes":[{"key":"client.address","value":{"stringValue":"1.2.3.4"}},{"key":"url.path","value":{"arrayValue":{"values":[]}}}]}`)
	f.Add(`{"request":{"remote_ip":"1.2.3.4","method":"GET","uri":"/","headers":{"User-Agent":["a","b"]}},"status":200,"ts":1.5,"duration":1e-3}`)
	f.Add(`{"source.ip":"1.2.3.4","http":{"request.method":"GET"},"url.original":"http://h:80?x","http.response":{"status_code":"200"},"event.duration":5}`)
	f.Add(`{"ClientHost":"1.1.1.1, 2.2.2.2","ClientAddr":"1.2.3.4:5","RequestMethod":"GET","RequestPath":"/","DownstreamStatus":200}`)
	var decoders []*Decoder
	for _, name := range Presets() {
		decoders = append(decoders, newDecoder(f, Options{Preset: name}))
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, d := range decoders {
			var ev Event
			if err := d.Decode([]byte(in), &ev); err == nil {
				compareAgain(t, &ev)
			} else {
				reasonOf(t, err)
			}
		}
	})
}
