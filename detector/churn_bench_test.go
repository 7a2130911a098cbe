package detector

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// BenchmarkChurn has each event come from an address that was never seen: a record is
// made, the table grows where it must, and the records of those who left are swept up,
// a few with each new one. live is how many stay within the window.
func BenchmarkChurn(b *testing.B) {
	for _, live := range []int64{20_000, 1_000_000} {
		b.Run(fmt.Sprintf("live=%d", live), func(b *testing.B) {
			e := NewEngine(mustLoad(b, "version: 1\nlateness: 0s\nrules:\n  - {id: volume, type: usage, threshold: 100, window: 60s}\n"), Options{Topic: "t", File: true})
			ev := schemas.Event{HasTime: true, Status: 200, Method: []byte("GET"), Path: []byte("/x")}
			i := int64(0)
			next := func() {
				var a [4]byte
				binary.BigEndian.PutUint32(a[:], uint32(10<<24+i))
				ev.ClientIP, ev.Time = netip.AddrFrom4(a), 1_700_000_000e6+i*60e6/live
				e.Observe(&ev, Record{Offset: i})
				i++
			}
			for range 2 * live {
				next()
			}
			b.ReportAllocs()
			for b.Loop() {
				next()
			}
			b.ReportMetric(float64(e.Stats().Subjects)/float64(live), "held/live")
		})
	}
}
