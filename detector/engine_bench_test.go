package detector

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

const sixRules = `version: 1
rules:
  - {id: volume, type: usage, threshold: 1000, window: 1h}
  - {id: burst, type: usage, threshold: 50, window: 10s}
  - {id: not-found, type: return_pattern, pattern: 'status:404', threshold: 20, window: 5m}
  - {id: login, type: return_pattern, pattern: 'status:401,403', endpoint: POST /login, threshold: 10, window: 5m}
  - {id: paths, type: distinct, field: path, threshold: 200, window: 10m}
  - {id: errors, type: ratio, pattern: 'status:>=400', min_volume: 50, threshold: 0.6, window: 5m}
`

// benchEvents makes n events of a population of addresses, perSecond of them a second.
func benchEvents(n, addresses int, perSecond int64) []schemas.Event {
	rnd := rand.New(rand.NewPCG(1, 2))
	paths := make([][]byte, 300)
	for i := range paths {
		paths[i] = fmt.Appendf(nil, "/api/v1/resource%c%c/%d", 'a'+i%26, 'a'+i/26, i)
	}
	events := make([]schemas.Event, n)
	for i := range events {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 10<<24+uint32(rnd.IntN(addresses)))
		status := uint16(200)
		if rnd.IntN(20) == 0 {
			status = 404
		}
		events[i] = schemas.Event{
			Time: 1_700_000_000e6 + int64(i)*1e6/perSecond, HasTime: true, ClientIP: netip.AddrFrom4(b),
			Status: status, Method: []byte("GET"), Path: paths[rnd.IntN(len(paths))],
		}
	}
	return events
}

func BenchmarkObserve(b *testing.B) {
	for _, addresses := range []int{10, 20_000, 1_000_000} {
		b.Run(fmt.Sprintf("addresses=%d", addresses), func(b *testing.B) {
			p := mustLoad(b, sixRules)
			events := benchEvents(1<<20, addresses, 10_000)
			e := NewEngine(p, Options{Topic: "t", File: true})
			for i := range events {
				e.Observe(&events[i], Record{Offset: int64(i)})
				e.Take()
			}
			shift := events[len(events)-1].Time - events[0].Time
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				ev := &events[i%len(events)]
				ev.Time += shift
				e.Observe(ev, Record{Offset: int64(i)})
				e.Take()
			}
			s := e.Stats()
			b.ReportMetric(float64(s.StateBytes)/float64(s.Subjects), "B/subject")
		})
	}
}
