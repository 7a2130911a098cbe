package detector

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/schemas"
)

// BenchmarkSummaries says what one view adds to an event beside six rules (sixRules), by
// endpoints of the log; clients and latencies as they come.
func BenchmarkSummaries(b *testing.B) {
	for _, endpoints := range []int{30, 300, 3000} {
		for _, views := range []string{"none", "one", "sizes", "by-host"} {
			b.Run(fmt.Sprintf("endpoints=%d/views=%s", endpoints, views), func(b *testing.B) {
				rules := sixRules
				switch views {
				case "one":
					rules += "  - {id: slow, type: latency}\n"
				case "sizes":
					rules += "  - {id: slow, type: latency}\n  - {id: large, type: size}\n  - {id: long, type: size, metric: query}\n"
				case "by-host":
					rules += "  - {id: slow, type: latency, group_by: [host, endpoint]}\n"
				}
				rnd := rand.New(rand.NewPCG(1, 2))
				var latencies, sizes [256][]byte // in the caches, as those of a record that was just decoded
				for i := range latencies {
					latencies[i] = fmt.Appendf(nil, "%.3f", 20*rnd.ExpFloat64())
					sizes[i] = fmt.Append(nil, 200+rnd.IntN(5000))
				}
				events := benchEvents(1<<18, 20_000, 10_000)
				all := make([]*schemas.Event, len(events))
				for i := range events {
					ev, at := &events[i], rnd.IntN(endpoints)
					ev.Path = fmt.Appendf(nil, "/api/v1/resource%c%c%c/9", 'a'+at/676, 'a'+at/26%26, 'a'+at%26)
					ev.Host = []byte("api.example.com")
					ev.LatencyMS, ev.ResponseBytes = latencies[rnd.IntN(256)], sizes[rnd.IntN(256)]
					ev.RequestBytes, ev.Query = sizes[rnd.IntN(256)], sizes[rnd.IntN(256)]
					all[i] = ev
				}
				e := NewEngine(mustLoad(b, rules), Options{Topic: "t", File: true})
				shift := events[len(events)-1].Time - events[0].Time
				n := 0
				judge := func() {
					i := n % len(events)
					if i%Ahead == 0 {
						e.Foresee(all[i : i+Ahead])
					}
					e.Observe(all[i], Record{Offset: int64(n)})
					if n++; n%64 == 0 {
						e.Take()
						e.TakeSummaries()
					}
					all[i].Time += shift
				}
				for range 2 * len(events) {
					judge()
				}
				b.ReportAllocs()
				for b.Loop() {
					judge()
				}
				b.ReportMetric(float64(e.Stats().SummaryBytes)/1024, "KiB")
			})
		}
	}
}

// BenchmarkSummaryCopy copies 10,000 open endpoints in steps as a partition's loop does:
// longest-ms is the longest step.
func BenchmarkSummaryCopy(b *testing.B) {
	e := NewEngine(mustLoad(b, learnedRules), Options{Topic: "t", File: true})
	for i := range 200_000 {
		ev := timed(float64(i)/20_000, i%5000, fmt.Sprintf("/%c%c%c", 'g'+i%20, 'g'+i/20%20, 'g'+i/400%25), float64(i%97))
		e.Observe(ev, Record{Offset: int64(i)})
	}
	var c ShardCopy
	var longest, total time.Duration
	for b.Loop() {
		began := time.Now()
		e.BeginCopy(e.SummaryShard(), 200_000, true, &c)
		for done := false; !done; {
			step := time.Now()
			done = e.GoOnCopying(e.SummaryShard(), 2048)
			longest = max(longest, time.Since(step))
		}
		total += time.Since(began)
	}
	b.ReportMetric(longest.Seconds()*1000, "longest-ms")
	b.ReportMetric(float64(total)/float64(b.N)/float64(c.open.Summaries), "ns/summary")
	b.ReportMetric(float64(len(c.Append(nil)))/float64(c.open.Summaries), "B/summary")
	b.ReportMetric(float64(c.open.Summaries), "summaries")
}
