//go:build unix

package consumer

import (
	"fmt"
	"testing"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// BenchmarkJudge is what detect does to a record between the poll and the outbox:
// decoding, the identity's check, six rules, state and verdicts.
func BenchmarkJudge(b *testing.B) {
	for _, bm := range []struct{ records, clients int }{{1 << 19, 20_000}, {1 << 20, 1_000_000}} {
		b.Run(fmt.Sprintf("clients=%d", bm.clients), func(b *testing.B) {
			rules, err := newRuleset(program(b, sixRules), schemas.Options{})
			if err != nil {
				b.Fatal(err)
			}
			j := &judge{ruleset: rules, topics: sink.DefaultTopics()}
			p := &partition{rules: rules, engine: detector.NewEngine(rules.program, detector.Options{Topic: "api-logs"})}
			records := usualLog(bm.records, bm.clients)
			letters, i := 0, 0
			next := func() {
				at := i % len(records)
				some := records[at : at+detector.Ahead]
				j.records(p, some)
				for _, r := range some {
					anHourLater(r, i/len(records)+1)
				}
				if i += len(some); i%detectPoll == 0 {
					letters += len(p.out.letters)
					p.out.reset()
				}
			}
			for range len(records) / detector.Ahead {
				next()
			}
			b.SetBytes(304)
			b.ReportAllocs()
			before := cpuTime(b)
			b.ResetTimer()
			for done := 0; done < b.N; done += detector.Ahead {
				next()
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			if letters > 0 {
				b.Fatalf("%d dead letters", letters)
			}
		})
	}
}
