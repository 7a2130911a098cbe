package sink

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/deploy/dev"
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
