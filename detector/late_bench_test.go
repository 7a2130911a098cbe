package detector

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkLate judges events of which a share comes late, by up to the lateness: each
// of those is put where it belongs, in front of what is newer of its client. "dropped"
// are too late to count.
func BenchmarkLate(b *testing.B) {
	for _, bm := range []struct {
		name  string
		share float64
		by    int64 // s
	}{{"none", 0, 30}, {"share=0.1", 0.1, 30}, {"share=0.5", 0.5, 30}, {"dropped", 1, 3600}} {
		b.Run(bm.name, func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(1, 2))
			events := benchEvents(1<<13, 1000, 1000)
			for i := range events {
				if i > 0 && rnd.Float64() < bm.share {
					events[i].Time -= bm.by/2*1e6 + rnd.Int64N(bm.by/2*1e6)
				}
			}
			events[len(events)-1].Time = events[0].Time + int64(len(events)-1)*1000
			observeAgain(b, sixRules, events)
		})
	}
}

// BenchmarkHotSubject judges the events of one client that has few or many live ones.
// A flood must cost no more an event than a visitor.
func BenchmarkHotSubject(b *testing.B) {
	for _, live := range []int64{10, 10_000} {
		b.Run(fmt.Sprintf("live=%d", live), func(b *testing.B) {
			const window = 3600e6
			events := benchEvents(max(1<<10, int(2*live)), 1, 1000)
			for i := range events {
				events[i].Time = events[0].Time + int64(i)*window/live
			}
			observeAgain(b, `version: 1
rules:
  - {id: volume, type: usage, threshold: 20000, window: 1h}
  - {id: not-found, type: return_pattern, pattern: 'status:404', threshold: 20000, window: 1h}
  - {id: errors, type: ratio, pattern: 'status:>=400', min_volume: 50, threshold: 0.6, window: 1h}
`, events)
		})
	}
}
