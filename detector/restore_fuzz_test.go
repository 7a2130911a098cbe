package detector

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// fuzzRules have counts of every form: shared logs, ratios, silences, the three forms
// of sets of values, groups, names, totals of clients, trails, and bans.
const fuzzRules = `version: 1
lateness: 30s
rules:
  - {id: calls, type: usage, threshold: 20, window: 60s, action: ban, ban_for: 5s, max_bans_per_minute: 3}
  - {id: errors, type: ratio, pattern: 'status:404', threshold: 0.5, min_volume: 5, window: 60s}
  - {id: seen, type: match, when: 'status == 404', window: 60s}
  - {id: paths, type: distinct, field: path, threshold: 40, window: 600s}
  - {id: few, type: distinct, field: path, threshold: 5, window: 600s, group_by: [subject, endpoint]}
  - {id: unlike, type: outlier, metric: distinct_paths}
  - {id: costly, type: outlier, metric: requests}
  - {id: walks, type: walk, threshold: 5, window: 60s}
  - {id: slow, type: usage, threshold: 3, window: 60s, action: throttle, throttle_for: 9s}
  - {id: late, type: latency}
  - {id: large, type: size}
  - {id: lost, type: status_mix, when: 'status == 404', group_by: [host, endpoint]}
`

func fuzzEngine(t testing.TB, events int) *Engine {
	e := NewEngine(mustLoad(t, fuzzRules), Options{Topic: "t", Shards: 2, MaxEndpoints: 50})
	for i := range events {
		observe(e, fuzzEvent(i), i)
	}
	return e
}

func fuzzEvent(i int) *schemas.Event {
	return &schemas.Event{
		LatencyMS: fmt.Append(nil, i%50), RequestBytes: fmt.Append(nil, i*i%9000), Host: []byte{'h', byte('0' + i%2)},
		Time: origin + int64(i)*1e5, HasTime: true, ClientIP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 7)}),
		Status: uint16(200 + 204*(i%3/2)), Method: []byte("GET"), Path: fmt.Appendf(nil, "/p%c/%d", 'a'+i%5, i%97),
	}
}

// pieces is how many pieces an engine is copied in.
func (e *Engine) pieces() int { return e.SummaryShard() + 1 }

// FuzzRestore restores whatever bytes, and what it takes it must be able to work with.
func FuzzRestore(f *testing.F) {
	e := fuzzEngine(f, 300)
	var c ShardCopy
	for shard := range e.pieces() {
		e.Copy(shard, 300, true, &c)
		f.Add(c.Append(nil), []byte(nil))
	}
	e.Copy(0, 300, true, &c)
	whole := c.Append(nil)
	for i := range 30 {
		observe(e, fuzzEvent(300+i), 300+i)
	}
	e.Copy(0, 330, false, &c)
	f.Add(whole, c.Append(nil))
	program := mustLoad(f, fuzzRules)
	f.Fuzz(func(t *testing.T, whole, changes []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		e := NewEngine(program, Options{Topic: "t", Shards: 2, MaxEndpoints: 50})
		if len(changes) == 0 {
			changes = nil
		}
		err := e.Restore(whole, changes)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 300<<20+100*uint64(len(whole)+len(changes)) {
			t.Errorf("restoring %d bytes took %d", len(whole)+len(changes), used)
		}
		if err != nil && e.Stats().Subjects != 0 {
			t.Errorf("%v, and %d subjects are left", err, e.Stats().Subjects)
		}
		e.Begin(0)
		for i := range 200 {
			observe(e, fuzzEvent(330+i), 330+i)
		}
		e.Shown()
		e.TakeSummaries()
		for shard := range e.pieces() {
			e.Copy(shard, 1<<40, false, &c)
			c.Append(nil)
		}
	})
}

// TestDamagedCopies flips bits of copies, of a shard and of open summaries: an error or
// not, the engine goes on.
func TestDamagedCopies(t *testing.T) {
	e := fuzzEngine(t, 300)
	for _, shard := range []int{0, e.SummaryShard()} {
		var c ShardCopy
		e.Copy(shard, 300, true, &c)
		whole, program := c.Append(nil), mustLoad(t, fuzzRules)
		rnd := rand.New(rand.NewPCG(1, 2))
		refused := 0
		for range 1000 {
			b := slices.Clone(whole)
			for range 1 + rnd.IntN(3) {
				b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
			}
			e := NewEngine(program, Options{Topic: "t", Shards: 2, MaxEndpoints: 50})
			if err := e.Restore(b, nil); err != nil {
				refused++
				if n := e.Stats().Subjects + len(e.summaries.open); n != 0 {
					t.Fatalf("%v, and %d subjects or buckets are left", err, n)
				}
			}
			e.Begin(0)
			for i := range 400 {
				observe(e, fuzzEvent(330+i), 330+i)
				e.TakeSummaries()
			}
		}
		if refused == 0 || refused == 1000 {
			t.Errorf("%d of 1000 damaged copies of shard %d were refused", refused, shard)
		}
	}
}
