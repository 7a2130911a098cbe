package schemas

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func ptr[T any](v T) *T { return &v }

func sampleVerdicts() []Verdict {
	full := Verdict{
		VerdictID: "v1", RuleID: "lottery-wins", RuleVersion: "9f", RuleType: "return_pattern", Trigger: &Position{"api-logs", 3, 1871},
		Scope: ScopeRange, Subject: "2001:db8::/64", Endpoint: "GET /a<b>&c", Action: ActionBan, ActionTaken: TakenTracked, Count: 3,
		Threshold: ptr(2.0), WindowS: 0.25, Score: ptr(0.5), Baseline: ptr(-1e-9), EpisodeID: "e<1>", Phase: PhaseRemind, Details: "3 events in \"1 s\"\n\u2028\x01\\\t\b\f\r é 😀",
		EventTime: 1767225600_123456, RecordTime: ptr(Micros(1767225601_000000)), DetectedAt: 1767225601_000001, ExpiresAt: ptr(Micros(1767229200_123456)),
		RetryAfterS: ptr(int64(60)), Message: "Too many wins.", Tags: []string{"gaming", "x"},
		Evidence: Evidence{FromTime: 1767225500_000000, ToTime: 1767225600_123456, Trigger: "GET /a → 200"},
	}
	return []Verdict{full, {VerdictID: "v", RuleID: "r", Scope: ScopeIP, Subject: "192.0.2.7", Action: ActionLog, ActionTaken: "log", Threshold: ptr(0.6), Tags: []string{}}}
}

func sampleBans() []Ban {
	return []Ban{
		{Scope: ScopeIP, Value: "192.0.2.7", Action: ActionBan, RuleIDs: []string{"a", "b"}, Reason: "r<&>", Message: "m", Since: 1767225600_000000, ExpiresAt: 1767229200_000000},
		{Scope: ScopeRange, Value: "192.0.2.0/24", Action: ActionThrottle, RuleIDs: []string{}, RetryAfterS: ptr(int64(5))},
		{Scope: ScopeIP, Value: "v", Action: ActionBan},
	}
}

// byReflection is what encoding/json writes without HTML escapes.
func byReflection(t interface{ Fatal(...any) }, v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func TestAppendVerdictAndBan(t *testing.T) {
	for _, v := range sampleVerdicts() {
		got := AppendVerdict([]byte("x"), &v)[1:]
		if diff := cmp.Diff(string(byReflection(t, v)), string(got)); diff != "" {
			t.Errorf("(-encoding/json +ours):\n%s", diff)
		}
		back := Verdict{Tags: []string{"left over"}, Score: ptr(1.0)}
		if err := DecodeVerdict(got, &back); err != nil {
			t.Fatal(err)
		}
		if again := AppendVerdict(nil, &back); !bytes.Equal(again, got) {
			t.Errorf("read back and written again:\n%s\n%s", got, again)
		}
	}
	for _, b := range sampleBans() {
		got := AppendBan(nil, &b)
		if diff := cmp.Diff(string(byReflection(t, b)), string(got)); diff != "" {
			t.Errorf("(-encoding/json +ours):\n%s", diff)
		}
		var back Ban
		if err := DecodeBan(got, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, back); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	}
	var v Verdict
	var b Ban
	for _, bad := range []string{"", "null x", "[]", `{"count":"x"}`, `{"since":5}`} {
		if DecodeVerdict([]byte(bad), &v) == nil && DecodeBan([]byte(bad), &b) == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestWholeThresholdsPrintAsIntegers(t *testing.T) {
	for f, want := range map[float64]string{
		30: "30", 0: "0", -1: "-1", 0.6: "0.6", 1e6: "1000000", 1e20: "100000000000000000000", 1e21: "1e+21", 1e-7: "1e-7", 2.5e-10: "2.5e-10",
		math.NaN(): "null", math.Inf(1): "null",
	} {
		if got := string(appendFloat(nil, f)); got != want {
			t.Errorf("%v is written as %s, want %s", f, got, want)
		}
	}
}

func TestAppendAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "s"))
		if got, want := appendString(nil, s), byReflection(t, s); !bytes.Equal(got, want) {
			t.Fatalf("%q is written as %s, want %s", s, got, want)
		}
		if got, want := appendString(nil, []byte(s)), byReflection(t, s); !bytes.Equal(got, want) {
			t.Fatalf("%q is written as %s, want %s", s, got, want)
		}
		u := rapid.String().Draw(t, "u")
		if got, want := appendString(nil, u), byReflection(t, u); !bytes.Equal(got, want) {
			t.Fatalf("%q is written as %s, want %s", u, got, want)
		}
		f := rapid.Float64Range(-1e300, 1e300).Draw(t, "f")
		if got, want := appendFloat(nil, f), byReflection(t, f); !bytes.Equal(got, want) {
			t.Fatalf("%v is written as %s, want %s", f, got, want)
		}
	})
}
