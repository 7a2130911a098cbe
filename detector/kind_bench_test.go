package detector

import (
	"fmt"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// observeAgain measures an engine in its steady state: events come again and again,
// each time later by what they span, once before the measurement.
func observeAgain(b *testing.B, rules string, events []schemas.Event) {
	b.Helper()
	e := NewEngine(mustLoad(b, rules), Options{Topic: "t", File: true})
	shift := events[len(events)-1].Time - events[0].Time + 1
	step := func(i int) {
		ev := &events[i%len(events)]
		e.Observe(ev, Record{Offset: int64(i)})
		e.Take()
		ev.Time += shift
	}
	for i := range events {
		step(i)
	}
	b.ReportAllocs()
	for i := len(events); b.Loop(); i++ {
		step(i)
	}
}

// BenchmarkKind judges events by one rule of each kind. The events are those of 1,000
// clients; the rules fire seldom or never, as rules do.
func BenchmarkKind(b *testing.B) {
	body := []byte(`{"result":{"outcome":"lose","score":12},"items":[{"type":"common","price":5},{"type":"common","price":7}],"message":"better luck next time"}`)
	for _, bm := range []struct{ name, rule string }{
		{"usage", "{id: r, type: usage, threshold: 1000, window: 10m}"},
		{"frequency", "{id: r, type: frequency, max_frequency: 2, window: 5m}"},
		{"return_pattern/status", "{id: r, type: return_pattern, pattern: 'status:404', threshold: 500, window: 10m}"},
		{"return_pattern/text", "{id: r, type: return_pattern, pattern: victory, threshold: 2, window: 10m}"},
		{"return_pattern/regex", "{id: r, type: return_pattern, pattern: 'regex:(success|winner|prize)', threshold: 2, window: 10m}"},
		{"return_pattern/json", "{id: r, type: return_pattern, pattern: 'json:items[].price>100', threshold: 2, window: 10m}"},
		{"ratio", "{id: r, type: ratio, pattern: 'status:>=400', min_volume: 50, threshold: 0.6, window: 5m}"},
		{"outlier/requests", "{id: r, type: outlier}"},
		{"outlier/distinct_paths", "{id: r, type: outlier, metric: distinct_paths}"},
		{"outlier/cost", "{id: r, type: outlier, metric: cost}"},
		{"match/when", `{id: r, type: match, when: 'method == "POST" and status >= 500', window: 10m}`},
	} {
		b.Run(bm.name, func(b *testing.B) {
			events := benchEvents(1<<13, 1000, 1000)
			for i := range events {
				events[i].ResponseBody = body
			}
			observeAgain(b, "version: 1\nrules:\n  - "+bm.rule+"\n", events)
		})
	}
	for _, values := range []int{10, 1000} {
		b.Run(fmt.Sprintf("distinct/values=%d", values), func(b *testing.B) {
			events := benchEvents(1<<13, 20, 1000)
			for i := range events {
				events[i].UserID = fmt.Appendf(nil, "user-%d", i*7919%values)
			}
			observeAgain(b, "version: 1\nrules:\n  - {id: r, type: distinct, field: user_id, threshold: 2000, window: 10m}\n", events)
		})
	}
}
