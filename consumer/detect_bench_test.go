package consumer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/sink"
)

// BenchmarkDetect reads a topic of half a million records from its start, the broker
// being a fake one in this process: fetching and unpacking, the broker's part and the
// acknowledged verdicts included. An op is the whole topic. It is there to be profiled.
func BenchmarkDetect(b *testing.B) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	cfg := DefaultConfig()
	cfg.Kafka.Brokers, cfg.Kafka.Partitions = c.ListenAddrs(), 8
	cl, err := sink.Connect(b.Context(), cfg.Kafka, zap.NewNop(), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	if err := sink.EnsureTopics(b.Context(), cl, cfg.Kafka, cfg.Topics, zap.NewNop()); err != nil {
		b.Fatal(err)
	}
	records := usualLog(1<<19, 20_000)
	if err := cl.ProduceSync(b.Context(), records...).FirstErr(); err != nil {
		b.Fatal(err)
	}
	admin := kadm.NewClient(cl)
	rules := program(b, sixRules)
	read := 0
	for b.Loop() {
		b.StopTimer()
		cfg.Kafka.Group = fmt.Sprintf("group-%d", read)
		reg := newRegistry()
		d, err := NewDetect(cfg, Deps{Program: rules, Log: zap.NewNop(), Metrics: NewMetrics(reg), Sink: sink.NewMetrics(reg)})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		b.StartTimer()
		go func() { done <- d.Run(ctx) }()
		for left := int64(1); left > 0; time.Sleep(5 * time.Millisecond) {
			lag, err := admin.Lag(b.Context(), cfg.Kafka.Group)
			if err != nil {
				b.Fatal(err)
			}
			if l, ok := lag[cfg.Kafka.Group]; ok && l.State == "Stable" {
				left = l.Lag.Total()
			}
		}
		b.StopTimer()
		read += len(records)
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "records/s")
}
