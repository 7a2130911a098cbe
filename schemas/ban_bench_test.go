package schemas

import "testing"

// BenchmarkBanEncode writes a value of the ban topic that two rules stand behind.
func BenchmarkBanEncode(b *testing.B) {
	at := Micros(1_767_261_903_500_000)
	ban := Ban{
		Scope: ScopeIP, Value: "198.51.100.7", Action: ActionBan, RuleIDs: []string{"login-guessing", "burst"},
		Reason:  "11 answers with status 401 or 403 on POST /api/login within 5m, more than 10 are too many",
		Message: "Too many failed logins.", Since: at, ExpiresAt: at + 3600e6,
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = AppendBan(out[:0], &ban)
	}
	b.ReportMetric(float64(len(out)), "B/ban")
}
