package schemas

import "testing"

// BenchmarkVerdictEncode writes a ban of the shipped rules as a value of the verdict topic.
func BenchmarkVerdictEncode(b *testing.B) {
	threshold := 10.0
	at := Micros(1_767_261_903_500_000)
	end := at + 3600e6
	v := Verdict{
		VerdictID: "3f2a9c0d1e4b5a687c9d0e1f2a3b4c5d", RuleID: "login-guessing", RuleVersion: "5d41402abc4b", RuleType: "return_pattern",
		Trigger: &Position{Topic: "api-logs", Partition: 7, Offset: 123_456_789}, Scope: ScopeIP, Subject: "198.51.100.7",
		Endpoint: "POST /api/login", Action: ActionBan, ActionTaken: "ban", Count: 11, Threshold: &threshold, WindowS: 300,
		Details:   "11 answers with status 401 or 403 on POST /api/login within 5m, more than 10 are too many",
		EventTime: at, RecordTime: &at, DetectedAt: at, ExpiresAt: &end, Message: "Too many failed logins.", Tags: []string{"login"},
		Evidence: Evidence{FromTime: at - 300e6, ToTime: at, Trigger: "POST /api/login → 401"},
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = AppendVerdict(out[:0], &v)
	}
	b.ReportMetric(float64(len(out)), "B/verdict")
}
