package sink

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// BenchmarkBanTable has the ban table take a ban, half of them ours, and says what the
// table holds for each: every detect process keeps the whole ban topic in memory.
func BenchmarkBanTable(b *testing.B) {
	const bans = 100_000
	fill := func() *banTable {
		table := newBanTable()
		for i := range bans {
			ban := schemas.Ban{
				Scope: schemas.ScopeIP, Value: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Action: schemas.ActionBan,
				RuleIDs: []string{"login-guessing"}, Reason: fmt.Sprintf("%d answers with status 401 or 403 on POST /api/login within 5m", i),
				Message: "Too many failed logins.", ExpiresAt: schemas.Micros(int64(i) * 1e6),
			}
			if i%2 == 0 {
				table.change(int32(i%12), schemas.BanChange{Ban: ban})
			}
			table.read(schemas.BanKey(ban.Scope, ban.Value), &banValue{ban: ban}, int64(i), i%2 == 0)
		}
		return table
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := fill()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(table)
	b.ReportAllocs()
	for b.Loop() {
		fill()
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/bans, "B/ban")
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/bans, "ns/ban")
}
