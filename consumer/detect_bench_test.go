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
	cfg, cl, records := benchLog(b)
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
		awaitCommitted(b, cl, cfg.Kafka.Group, 5*time.Millisecond)
		b.StopTimer()
		read += records
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "records/s")
}

// benchLog puts half a million records on the topic logs of a fake broker in this
// process, and says how many.
func benchLog(b *testing.B) (Config, *kgo.Client, int) {
	b.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	cfg := DefaultConfig()
	cfg.Kafka.Brokers, cfg.Kafka.Partitions = c.ListenAddrs(), 8
	cl, err := sink.Connect(b.Context(), cfg.Kafka, zap.NewNop(), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(cl.Close)
	if err := sink.EnsureTopics(b.Context(), cl, cfg.Kafka, cfg.Topics, zap.NewNop()); err != nil {
		b.Fatal(err)
	}
	records := usualLog(1<<19, 20_000)
	if err := cl.ProduceSync(b.Context(), records...).FirstErr(); err != nil {
		b.Fatal(err)
	}
	return cfg, cl, len(records)
}

// awaitCommitted waits until a group has committed all that there is, looking so often.
func awaitCommitted(b *testing.B, cl *kgo.Client, group string, every time.Duration) {
	b.Helper()
	for left := int64(1); left > 0; time.Sleep(every) {
		lag, err := kadm.NewClient(cl).Lag(b.Context(), group)
		if err != nil {
			b.Fatal(err)
		}
		if l, ok := lag[group]; ok && l.State == "Stable" {
			left = l.Lag.Total()
		}
	}
}
