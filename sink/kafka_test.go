package sink

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
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

// readAll gives the records that a topic has now.
func (f *fakeKafka) readAll(t *testing.T, topic string) []record {
	t.Helper()
	cl := f.connect(t, kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out []record
	for int64(len(out)) < want {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records of %s can be read: %v", len(out), want, topic, fetches.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) { out = append(out, record{string(r.Key), string(r.Value)}) })
	}
	return out
}
