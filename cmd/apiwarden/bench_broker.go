package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/deploy/dev/service"
)

// benchBroker is the cluster that is measured on.
type benchBroker struct {
	addrs []string
	name  string // for the report
	cl    *kgo.Client
	stop  func() // ends what was started
}

// openBroker connects to the brokers of --brokers, or starts an Apache Kafka.
func (b *bench) openBroker(ctx context.Context) (*benchBroker, error) {
	br := &benchBroker{addrs: b.o.brokers, name: strings.Join(b.o.brokers, ","), stop: func() {}}
	if len(br.addrs) == 0 {
		b.say("starting Apache Kafka")
		started, err := service.Kafka(ctx, b.errOut)
		if absent, ok := errors.AsType[*service.AbsentError](err); ok {
			return nil, fmt.Errorf("starting Apache Kafka: %w; run this in the repository, where Java and Maven are installed, or name a cluster with --brokers HOST:PORT", absent)
		}
		if err != nil {
			return nil, fmt.Errorf("starting Apache Kafka: %w; name a cluster of yours with --brokers HOST:PORT", err)
		}
		br.addrs, br.name, br.stop = []string{started.Addr}, "Apache Kafka, one broker on this machine", started.Stop
	}
	cl, err := kgo.NewClient(append(benchProducerOpts(), kgo.SeedBrokers(br.addrs...))...)
	if err != nil {
		br.stop()
		return nil, fmt.Errorf("setting up the kafka client: %w", err)
	}
	br.cl = cl
	ping, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := cl.Ping(ping); err != nil {
		br.close()
		return nil, fmt.Errorf("connecting to kafka at %s: %w", strings.Join(br.addrs, ","), err)
	}
	return br, nil
}

// benchProducerOpts are those of a producer that sends as much as it can.
func benchProducerOpts() []kgo.Opt {
	return []kgo.Opt{
		kgo.ClientID("apiwarden-bench"),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(5 * time.Millisecond),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.MaxBufferedRecords(50_000),
		kgo.MetadataMinAge(100 * time.Millisecond), // topics are made all the time
		kgo.UnknownTopicRetries(100),               // and are not everywhere at once
		kgo.DisableClientMetrics(),
	}
}

func (b *benchBroker) close() {
	b.cl.Close()
	b.stop()
}

func (b *benchBroker) admin() *kadm.Client { return kadm.NewClient(b.cl) }
