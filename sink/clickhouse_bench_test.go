package sink

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/schemas"
)

// BenchmarkInsertEvents measures rows a second into the real engine, 50,000 rows an
// insert.
func BenchmarkInsertEvents(b *testing.B) {
	addr := dev.ClickHouse(b)
	c := DefaultClickHouseConfig()
	c.Addresses, c.Protocol, c.Database = []string{addr}, ProtocolHTTP, dev.Database(b, addr)
	ch, err := OpenClickHouse(b.Context(), c, zap.NewNop(), NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		b.Fatal(err)
	}
	defer ch.Close()
	const rows = 50_000
	now := time.Now().UnixMicro()
	batch := manyEvents(ch, rows, func(i int) int64 { return now + int64(i) })
	b.ReportAllocs()
	for b.Loop() {
		if err := ch.InsertEvents(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRowOnDisk stores a million usual events and says what a row takes on disk
// once all parts are merged.
func BenchmarkRowOnDisk(b *testing.B) {
	addr := dev.ClickHouse(b)
	c := DefaultClickHouseConfig()
	c.Addresses, c.Protocol, c.Database = []string{addr}, ProtocolHTTP, dev.Database(b, addr)
	ch, err := OpenClickHouse(b.Context(), c, zap.NewNop(), NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		b.Fatal(err)
	}
	defer ch.Close()
	batch := ch.NewEventBatch()
	offset := int64(0)
	for range b.N {
		for part := range uint64(10) {
			batch.Reset()
			for i, ev := range usualEvents(100_000, part) {
				at := schemas.Position{Topic: "api-logs", Partition: int32(i % 12), Offset: offset}
				batch.Add(&ev, at, time.Now().UnixMicro(), ev.ClientIP.AppendTo(nil), []byte("GET /api/products/{id}"))
				offset++
			}
			if err := ch.InsertEvents(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	dev.Query(b, addr, "OPTIMIZE TABLE "+c.Database+".events FINAL")
	var bytes, rows float64
	_, err = fmt.Sscan(dev.Query(b, addr, "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND table = 'events' AND database = '"+c.Database+"'"), &bytes, &rows)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(bytes/rows, "B/row")
}
