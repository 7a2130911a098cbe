package detector

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The three forms of a set count alike: a set is driven through all of them, beside
// a list of everything.
func TestSetsOfValuesCountAlike(t *testing.T) {
	for _, lateness := range []int64{0, 50, 400} {
		for _, threshold := range []int{5, 30, 200} {
			t.Run(fmt.Sprintf("lateness=%d/threshold=%d", lateness, threshold), func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(uint64(lateness), uint64(threshold)))
				e := NewEngine(mustLoad(t, fmt.Sprintf(
					"version: 1\nlateness: %dus\nrules: [{id: d, type: distinct, field: path, threshold: %d, window: 300us, emit: every}]\n", lateness, threshold)),
					Options{Topic: "t", File: true, Shards: 1})
				o := &oracle{
					lateness: lateness, bans: map[string][]interval{}, counters: map[string]*oracleCounter{},
					rules: []oracleRule{{id: "d", kind: "distinct", threshold: threshold, window: 300, every: true}},
				}
				now, fired := int64(origin), 0
				for i := range 2500 {
					now += rnd.Int64N(4)
					values := []int{3, 25, 80, 400}[i/300%4] // grows and shrinks
					ev := oracleEvent{time: now, subject: "198.51.100.7", status: 200, path: fmt.Sprintf("/v%c%c", 'a'+rnd.IntN(values)/20, 'a'+rnd.IntN(20))}
					if rnd.IntN(4) == 0 {
						ev.time -= rnd.Int64N(lateness + 1)
					}
					want := o.observe(i, ev)
					e.Observe(ev.event(), Record{Offset: int64(i)})
					got, _ := e.Take()
					if len(got) != len(want) {
						t.Fatalf("event %d: want %v, got %v", i, want, got)
					}
					for j := range got {
						if n := int(got[j].Count); n > want[j].count || n <= threshold {
							t.Fatalf("event %d: want %v, got %d", i, want[j], n)
						}
						fired++
					}
					// What is too old for any window is nothing to the oracle either.
					for _, c := range o.counters {
						if len(c.events) > 1500 {
							c.events = c.events[len(c.events)-1000:]
						}
					}
				}
				if threshold < 200 && fired == 0 {
					t.Error("the threshold was never passed")
				}
			})
		}
	}
}
