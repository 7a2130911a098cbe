package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

const (
	insertRows    = 50_000 // of one insert, as store makes them
	insertBatches = 20
)

// insertRate measures rows a second into ClickHouse without Kafka: what the server and
// the driver can take on both processors. Decoding the events is not measured, making
// rows of them is.
func (b *bench) insertRate(ctx context.Context, server *engine) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("not done within %s", measureTimeout))
	defer cancel()
	c := sink.DefaultClickHouseConfig()
	c.Addresses, c.Database = []string{server.addr}, fmt.Sprintf("apiwarden_bench_%d", time.Now().UnixNano())
	if server.http {
		c.Protocol = sink.ProtocolHTTP
		defer b.dropDatabase(server.addr, c.Database)
	}
	ch, err := sink.OpenClickHouse(ctx, c, zap.NewNop(), sink.NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		return 0, err
	}
	defer ch.Close()
	decoder, err := schemas.NewDecoder(schemas.Options{})
	if err != nil {
		return 0, fmt.Errorf("making a decoder: %w", err)
	}
	stream := eventStream{addresses: 100_000, step: time.Millisecond}
	events, batch := make([]schemas.Event, insertRows), ch.NewEventBatch()
	var took time.Duration
	for n := range insertBatches {
		decoder.Begin()
		for i := range events {
			if err := decoder.DecodeNext(stream.append(nil, n*insertRows+i), &events[i]); err != nil {
				return 0, fmt.Errorf("decoding event %d of the stream: %w", n*insertRows+i, err)
			}
		}
		began := time.Now()
		batch.Reset()
		for i := range events {
			ev := &events[i]
			at := schemas.Position{Topic: "bench", Offset: int64(n*insertRows + i)}
			batch.Add(ev, at, began.UnixMicro(), ev.ClientIP.AppendTo(nil), []byte("GET /api/products/{id}"))
		}
		if err := ch.InsertEvents(ctx, batch); err != nil {
			return 0, fmt.Errorf("inserting rows: %w", err)
		}
		took += time.Since(began)
	}
	return insertBatches * insertRows / took.Seconds(), nil
}
