package detector

import (
	"math/rand/v2"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// BenchmarkLatency judges and learns, of an endpoint with one request in a bucket and of
// one with all the evidence that there can be.
func BenchmarkLatency(b *testing.B) {
	for _, c := range []struct {
		name      string
		perSecond float64
	}{{"rare", 0.05}, {"busy", 50}} {
		b.Run(c.name, func(b *testing.B) {
			summaries := drawnSummaries(c.perSecond)
			var l Latency
			evidence, at := 0, int64(0)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s := &summaries[i%len(summaries)]
				at += schemas.SummarySeconds * microseconds
				for j := range s.Evidence {
					s.Evidence[j].Time = at + int64(j)*microseconds/schemas.SummaryEvidence
				}
				evidence += len(s.Evidence)
				l.Observe(s, SensitivityNormal)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(evidence), "ns/evidence")
		})
	}
}

// drawnSummaries are a thousand buckets with requests at a rate.
func drawnSummaries(perSecond float64) []schemas.Summary {
	rng := rand.New(rand.NewPCG(1, 2))
	usual := logNormal(0.7)(rng)
	summaries := make([]schemas.Summary, 1000)
	for i := range summaries {
		s := &summaries[i]
		var counts [schemas.LatencyBins]int64
		for range max(1, int(perSecond*schemas.SummarySeconds)) {
			ms := usual(0)
			counts[schemas.LatencyBinOf(ms)]++
			if len(s.Evidence) < schemas.SummarySeconds*schemas.SummaryEvidence {
				s.Evidence = append(s.Evidence, schemas.LatencyEvidence{Latency: ms})
			}
		}
		for bin, n := range counts {
			if n > 0 {
				s.Latency = append(s.Latency, schemas.BinCount{Bin: uint8(bin), Count: n})
			}
		}
	}
	return summaries
}

// BenchmarkLatencyState encodes and restores a latency.
func BenchmarkLatencyState(b *testing.B) {
	l := fedLatency()
	var state []byte
	b.ReportAllocs()
	for b.Loop() {
		state = l.AppendState(state[:0])
		if err := l.RestoreState(state); err != nil {
			b.Fatal(err)
		}
	}
}
