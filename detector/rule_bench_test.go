package detector

import (
	"fmt"
	"testing"
)

// BenchmarkRules judges events by 1, 10 and 100 rules about an endpoint each; every
// event concerns one of them. Rules are found by index, so the cost must stay flat.
func BenchmarkRules(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			text := "version: 1\nrules:\n"
			for i := range n {
				text += fmt.Sprintf("  - {id: r%d, type: usage, endpoint: GET /api/resource%d, threshold: 1000, window: 10m}\n", i, i)
			}
			events := benchEvents(1<<13, 100, 1000)
			for i := range events {
				events[i].Path = fmt.Appendf(nil, "/api/resource%d", i%n)
			}
			observeAgain(b, text, events)
		})
	}
}
