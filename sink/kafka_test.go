package sink

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// fakeKafka is a cluster inside a synctest bubble.
type fakeKafka struct {
	*kfake.Cluster
	net kfake.VirtualNetwork
	cfg KafkaConfig
}

func newFakeKafka(t *testing.T, opts ...kfake.Opt) *fakeKafka {
	t.Helper()
	f := &fakeKafka{cfg: DefaultKafkaConfig()}
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.Ports(19092), kfake.ListenFn(f.net.Listen)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	f.Cluster = c
	f.cfg.Brokers = c.ListenAddrs()
	f.cfg.Partitions = 2
	t.Cleanup(c.Close)
	return f
}

// connect gives a client that is closed with the test.
func (f *fakeKafka) connect(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := Connect(t.Context(), f.cfg, quiet(), append(opts, kgo.Dialer(f.net.DialContext))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func quiet() *zap.Logger { return zap.NewNop() }

func testMetrics() *Metrics { return NewMetrics(prometheus.NewRegistry()) }

// record is one record of a topic, for comparison.
type record struct {
	Key   string
	Value string
}

// readAll gives the records of a topic once none came for a second.
func (f *fakeKafka) readAll(t *testing.T, topic string) []record {
	t.Helper()
	cl := f.connect(t, kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	var out []record
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		fetches := cl.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			return out
		}
		fetches.EachRecord(func(r *kgo.Record) { out = append(out, record{string(r.Key), string(r.Value)}) })
	}
}
