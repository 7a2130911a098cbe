package sink

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/apiwarden/apiwarden/schemas"
)

// usualEvents are n requests as most APIs see them: a few endpoints, some thousand
// clients, the fields of a gateway's log.
func usualEvents(n int, seed uint64) []schemas.Event {
	rnd := rand.New(rand.NewPCG(1, seed))
	agents := make([][]byte, 200)
	for i := range agents {
		agents[i] = fmt.Appendf(nil, "Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0", 60+i, 60+i)
	}
	start := time.Now().Add(-time.Hour).UnixMicro()
	events := make([]schemas.Event, n)
	for i := range events {
		events[i] = schemas.Event{
			Time: start + int64(i)*500, HasTime: true,
			ClientIP: netip.AddrFrom4([4]byte{10, 0, byte(rnd.IntN(20)), byte(rnd.IntN(256))}),
			Status:   []uint16{200, 200, 200, 404}[rnd.IntN(4)], Method: []byte("GET"),
			Path: fmt.Appendf(nil, "/api/products/%d", rnd.IntN(100_000)), Route: []byte("/api/products/{id}"),
			Service: []byte("catalog"), Host: []byte("api.example.com"), UserAgent: agents[rnd.IntN(len(agents))],
			UserID: fmt.Appendf(nil, "u-%d", rnd.IntN(1_000_000)), LatencyMS: fmt.Appendf(nil, "%d.%d", rnd.IntN(300), rnd.IntN(10)),
			ResponseBytes: fmt.Appendf(nil, "%d", rnd.IntN(100_000)),
		}
	}
	return events
}

// block stands in for a prepared insert: it has the columns of one and no server.
type block struct {
	driver.Batch
	columns []driver.BatchColumn
	native  []column.Interface
}

type blockColumn struct{ column.Interface }

func (c blockColumn) Append(v any) error {
	_, err := c.Interface.Append(v)
	return err
}

func (b *block) Column(i int) driver.BatchColumn { return b.columns[i] }

func newBlock(t testing.TB) *block {
	t.Helper()
	b := &block{}
	for _, c := range eventColumns() {
		col, err := column.Type(c.Type).Column(c.Name, &column.ServerContext{})
		if err != nil {
			t.Fatal(err)
		}
		b.native = append(b.native, col)
		b.columns = append(b.columns, blockColumn{col})
	}
	return b
}

// BenchmarkTenThousandRows takes events to the bytes that an insert sends: add copies
// their fields into the batch, fill makes columns of it, encode writes those. An op is
// 10,000 rows.
func BenchmarkTenThousandRows(b *testing.B) {
	const rows = 10_000
	redact, err := newRedaction([]string{"response_body"})
	if err != nil {
		b.Fatal(err)
	}
	events := usualEvents(rows, 2)
	subject, endpoint := []byte("10.0.0.1"), []byte("GET /api/products/{id}")
	batch := &EventBatch{redact: redact}
	add := func() {
		batch.Reset()
		for i := range events {
			ev := &events[i]
			batch.Add(ev, schemas.Position{Topic: "api-logs", Partition: 3, Offset: int64(i)}, ev.Time, subject, endpoint)
		}
	}
	add()
	all := make([]int, rows)
	for i := range all {
		all[i] = i
	}
	filled := newBlock(b)
	if err := batch.appendTo(filled, all); err != nil {
		b.Fatal(err)
	}

	b.Run("add", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			add()
		}
	})
	b.Run("fill", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := batch.appendTo(newBlock(b), all); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		var out proto.Buffer
		b.ReportAllocs()
		for b.Loop() {
			out.Reset()
			for _, c := range filled.native {
				c.Encode(&out)
			}
		}
		b.ReportMetric(float64(len(out.Buf))/rows, "B/row")
	})
}
