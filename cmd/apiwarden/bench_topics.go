package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/sink"
)

// benchPartitions is how many partitions the topics of events have.
const benchPartitions = 8

// topicSet gives names of topics that nobody else uses, and no earlier measurement;
// purpose says what for.
func (b *bench) topicSet(purpose string) sink.Topics {
	b.sets++
	prefix := fmt.Sprintf("apiwarden-bench-%d-%d-%s-", b.began.UnixMilli(), b.sets, purpose)
	return sink.Topics{
		Logs: prefix + "logs", Verdicts: prefix + "verdicts", Bans: prefix + "bans", DLQ: prefix + "dlq",
		State: prefix + "state", Control: prefix + "control", EndpointStats: prefix + "endpoint-stats", Events: prefix + "events",
	}
}

// makeTopic makes a topic that goes with the section.
func (b *bench) makeTopic(ctx context.Context, name string, partitions int32) error {
	// What is measured is read within the hour, and the disk is not ours to fill.
	retention := "7200000"
	create := "CreateTime"
	if _, err := b.broker.admin().CreateTopic(ctx, partitions, 1, map[string]*string{
		"retention.ms": &retention, "message.timestamp.type": &create,
	}, name); err != nil {
		return fmt.Errorf("creating topic %s: %w", name, err)
	}
	b.topics = append(b.topics, name)
	return nil
}

// adopt has topics that a child process makes deleted with those of the section.
func (b *bench) adopt(t sink.Topics) {
	b.topics = append(b.topics, t.Verdicts, t.Bans, t.DLQ, t.State, t.Control, t.EndpointStats)
}

// dropTopics deletes the topics of a section, also after an interrupt.
func (b *bench) dropTopics() { b.deleteTopics(&b.topics) }

// dropLogs deletes the topic that sections share.
func (b *bench) dropLogs() {
	if b.logs != "" {
		b.deleteTopics(&[]string{b.logs})
	}
}

func (b *bench) deleteTopics(names *[]string) {
	if len(*names) == 0 || b.broker == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	slices.Sort(*names)
	deleted, err := b.broker.admin().DeleteTopics(ctx, slices.Compact(*names)...)
	if err = cmp.Or(err, deleted.Error()); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		b.say("deleting topics: %v", err)
	}
	*names = nil
}

// sharedLogs is the topic of the throughput measurements, filled when it is first
// asked for.
func (b *bench) sharedLogs(ctx context.Context) (string, error) {
	if b.logs != "" {
		return b.logs, nil
	}
	name := b.topicSet("shared").Logs
	err := b.fill(ctx, name, b.sharedStream(), b.size.events)
	b.topics = slices.DeleteFunc(b.topics, func(t string) bool { return t == name })
	b.logs = name
	return name, err
}

// sharedStream is one event a millisecond.
func (b *bench) sharedStream() eventStream {
	return eventStream{addresses: b.size.addresses, step: time.Millisecond, attackers: true}
}

// fill makes a topic with the first n events of a stream, keyed by client.
func (b *bench) fill(ctx context.Context, topic string, s eventStream, n int) error {
	if err := b.makeTopic(ctx, topic, benchPartitions); err != nil {
		return err
	}
	return b.fillMore(ctx, topic, s, n)
}

// fillMore produces the first n events of a stream to a topic that exists.
func (b *bench) fillMore(ctx context.Context, topic string, s eventStream, n int) error {
	began := time.Now()
	var refused atomic.Pointer[error]
	var values, keys []byte // of many events: one allocation for all of them
	for i := range n {
		if ctx.Err() != nil || refused.Load() != nil {
			break
		}
		if cap(values)-len(values) < benchEventBytes || cap(keys)-len(keys) < 64 {
			values, keys = make([]byte, 0, 1<<20), make([]byte, 0, 1<<16)
		}
		ev := s.at(i)
		from, at := len(values), len(keys)
		values, keys = s.encode(values, i, ev), ev.client.AppendTo(keys)
		b.broker.cl.Produce(ctx, &kgo.Record{Topic: topic, Key: keys[at:len(keys):len(keys)], Value: values[from:len(values):len(values)]},
			func(_ *kgo.Record, err error) {
				if err != nil {
					refused.CompareAndSwap(nil, &err)
				}
			})
	}
	if err := errors.Join(b.broker.cl.Flush(ctx), ctx.Err()); err != nil {
		return fmt.Errorf("filling topic %s: %w", topic, err)
	}
	if err := refused.Load(); err != nil {
		return fmt.Errorf("filling topic %s: %w", topic, *err)
	}
	took := time.Since(began).Seconds()
	b.say("%d events produced in %.1f s (%.0f a second)", n, took, float64(n)/took)
	return nil
}
