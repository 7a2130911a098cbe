package schemas

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const noon = Micros(1767268800_000000) // 2026-01-01T12:00:00Z

func sampleControls() []Control {
	return []Control{
		{Scope: ScopeIP, Value: "192.0.2.7", Op: OpBan, For: Duration(90 * time.Minute), Reason: "card testing, <ticket 4>", By: "anna", At: noon},
		{Scope: ScopeRange, Value: "2001:db8::/64", Op: OpUnban, By: "bert", At: noon + 1},
		{Scope: ScopeUser, Value: "a:b c", Op: OpExempt, Reason: "ü", At: noon},
		{Scope: ScopeIP, Value: "2001:db8::1", Op: OpUnexempt, At: noon},
	}
}

func TestControlRoundTrip(t *testing.T) {
	s := schemaOf(t, "control")
	sameNames(t, s, reflect.TypeFor[Control]())
	for _, c := range sampleControls() {
		value := AppendControl(nil, &c)
		if err := valid(t, s, value); err != nil {
			t.Error(err)
		}
		got, err := DecodeControl([]byte(BanKey(c.Scope, c.Value)), value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%s comes back changed (-want +got):\n%s", value, diff)
		}
	}
}

func TestControlOfTheContract(t *testing.T) {
	c, err := DecodeControl([]byte("ip:::ffff:192.0.2.7"), []byte(`{"op":"ban","for":"1h","reason":"r","by":"b","at":"2026-01-01T13:00:00+01:00","more":1}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Control{Scope: ScopeIP, Value: "192.0.2.7", Op: OpBan, For: Duration(time.Hour), Reason: "r", By: "b", At: noon}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestControlThatCannotBeRead(t *testing.T) {
	good := `{"op":"ban","reason":"","by":"","at":"2026-01-01T12:00:00Z"}`
	for _, c := range []struct{ key, value, want string }{
		{"ip:192.0.2.7", ``, "decoding a manual change"},
		{"ip:192.0.2.7", `{"op":1}`, "decoding a manual change"},
		{"ip:192.0.2.7", `{"for":"soon"}`, "no duration"},
		{"192.0.2.7", good, "not scope:value"},
		{"ip:192.0.2.0/24", good, "neither an address nor a network"},
		{"range:192.0.2.7", good, "neither an address nor a network"},
		{"endpoint:GET /", good, "scope"},
		{"user:", good, "empty"},
		{"ip:127.3.2.1", good, "loopback"},
		{"range:0.0.0.0/0", good, "loopback"},
		{"range:::/0", good, "loopback"},
		{"ip:192.0.2.7", strings.Replace(good, "ban", "kick", 1), "op is"},
		{"ip:192.0.2.7", strings.Replace(good, `"reason"`, `"for":"-1s","reason"`, 1), "negative"},
		{"ip:192.0.2.7", strings.Replace(strings.Replace(good, `"reason"`, `"for":"1d","reason"`, 1), "2026-01-01", "9999-12-31", 1), "9999"},
		{"ip:192.0.2.7", `{"op":"ban"}`, "at is missing"},
	} {
		_, err := DecodeControl([]byte(c.key), []byte(c.value))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.key, c.value, err, c.want)
		}
	}
	for _, key := range []string{"ip:127.0.0.1", "range:0.0.0.0/0"} {
		if _, err := DecodeControl([]byte(key), []byte(strings.Replace(good, "ban", "unban", 1))); err != nil {
			t.Errorf("%s cannot be unbanned: %v", key, err)
		}
	}
}

func TestControlUntil(t *testing.T) {
	for _, c := range []struct {
		op   Op
		span time.Duration
		want Micros
	}{
		{OpBan, 0, noon + 3600_000000},
		{OpBan, time.Minute, noon + 60_000000},
		{OpExempt, 0, 0},
		{OpExempt, time.Minute, noon + 60_000000},
		{OpUnban, time.Minute, 0},
	} {
		m := Control{Op: c.op, For: Duration(c.span), At: noon}
		if got := m.Until(); got != c.want {
			t.Errorf("%s for %s ends at %s, want %s", c.op, c.span, got, c.want)
		}
	}
}

func TestControlSubject(t *testing.T) {
	for _, c := range []struct {
		scope       Scope
		value, want string // "": refused
	}{
		{"", "192.0.2.7", "ip:192.0.2.7"},
		{"", "::ffff:192.0.2.7", "ip:192.0.2.7"},
		{"", "2001:DB8::0:1", "ip:2001:db8::1"},
		{"", "fe80::1%eth0", "ip:fe80::1"},
		{ScopeIP, "192.0.2.7", "ip:192.0.2.7"},
		{"", "192.0.2.7/24", "range:192.0.2.0/24"},
		{ScopeRange, "2001:db8::1/64", "range:2001:db8::/64"},
		{"", "192.0.2.7/32", "ip:192.0.2.7"},
		{ScopeUser, "192.0.2.7", "user:192.0.2.7"},
		{"", "::ffff:192.0.2.0/120", ""},
		{"", "anna", ""},
		{"", "", ""},
		{ScopeIP, "192.0.2.0/24", ""},
		{ScopeRange, "192.0.2.7", ""},
		{ScopeUser, "", ""},
		{ScopeEndpoint, "GET /", ""},
		{"", "192.0.2.07", ""},
		{"", "192.0.2.7:80", ""},
	} {
		scope, value, err := ControlSubject(c.scope, c.value)
		got := BanKey(scope, value)
		if err != nil {
			got = ""
		}
		if got != c.want {
			t.Errorf("%s %q is %q (%v), want %q", c.scope, c.value, got, err, c.want)
		}
	}
}
