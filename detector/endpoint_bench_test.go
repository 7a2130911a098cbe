package detector

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// noneCounts is a rule that no event of these benchmarks can be seen by: what is left
// is what every event costs before any rule, the endpoint's look-up above all.
const noneCounts = "rules:\n  - {id: none, type: return_pattern, pattern: 'status:599', threshold: 1, window: 1m}\n"

// BenchmarkEndpoint finds events' endpoints: by the route that the gateway gave, by
// forty configured templates, and by folding; among a hundred paths that come again
// and again, and where each path is new.
func BenchmarkEndpoint(b *testing.B) {
	templates := "endpoints:\n"
	for i := range 40 {
		templates += fmt.Sprintf("  - GET /api/resource%d/{id}/part\n", i)
	}
	for _, way := range []struct {
		name, rules string
		path        func(i int) string
		route       func(i int) string
	}{
		{"route", "", func(i int) string { return "/" }, func(i int) string { return fmt.Sprintf("/api/resource%d/{id}", i) }},
		{"templates", templates, func(i int) string { return fmt.Sprintf("/api/resource%d/%d/part", i%40, 1000+i) }, nil},
		{"folding", "", func(i int) string {
			return fmt.Sprintf("/api/v1/resource%c%c%c/12345/part", 'a'+i%26, 'a'+i/26%26, 'a'+i/676%26)
		}, nil},
	} {
		for _, cache := range []struct {
			name  string
			paths int
		}{{"warm", 100}, {"miss", 1 << 15}} {
			if way.name == "templates" && cache.name == "miss" {
				continue // there are no more endpoints than templates
			}
			b.Run(way.name+"/"+cache.name, func(b *testing.B) {
				e := NewEngine(mustLoad(b, "version: 1\n"+way.rules+noneCounts), Options{Topic: "t", File: true})
				events := make([]schemas.Event, cache.paths)
				for i := range events {
					events[i] = schemas.Event{
						Time: 1_700_000_000e6, HasTime: true, ClientIP: netip.AddrFrom4([4]byte{10, 0, 0, 1}), Status: 200,
						Method: []byte("GET"), Path: []byte(way.path(i)),
					}
					if way.route != nil {
						events[i].Route = []byte(way.route(i))
					}
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					e.Observe(&events[i%len(events)], Record{Offset: int64(i)})
				}
			})
		}
	}
}
