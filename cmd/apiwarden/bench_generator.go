package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// generator sends batches that were encoded beforehand, one each millisecond, to one
// partition after the other.
//
// It is an open loop: when a batch is due is fixed beforehand, and no answer that is
// late delays what is due later. Latency counts from when a batch was due, not from
// when it was sent, so that a generator that is held up itself leaves nothing out.
type generator struct {
	cl      *kgo.Client
	topic   string
	id      [16]byte // of the topic
	leaders []int32  // by partition
	batches [][]recordBatch
	every   time.Duration

	mu   sync.Mutex
	sent []sentBatch
	late atomic.Int64 // batches that could not be sent: too many were unanswered
	err  atomic.Pointer[error]
}

// sentBatch is a batch that the broker has taken.
type sentBatch struct {
	partition int32
	base      int64 // offset of its first record
	records   int
	due       time.Time
}

const (
	// tick is from one batch to the next.
	tick = time.Millisecond
	// batchesEach is how many different batches a partition gets in turn.
	batchesEach = 24
	// probeEvery is one of how many events is answered with benchProbeStatus.
	probeEvery = 50
	// mostUnanswered bounds what a broker that does not keep up makes us hold.
	mostUnanswered = 4000
)

// newGenerator encodes batches for perTick events every so often.
func newGenerator(ctx context.Context, br *benchBroker, topic string, addresses, rate int) (*generator, error) {
	every := tick
	perTick := rate / int(time.Second/tick)
	if perTick < 20 { // a slow rate comes in fewer batches, not in batches of nothing
		perTick = 20
		every = time.Duration(float64(time.Second) * float64(perTick) / float64(rate))
	}
	g := &generator{cl: br.cl, topic: topic, every: every, batches: make([][]recordBatch, benchPartitions)}
	if err := g.findLeaders(ctx, br); err != nil {
		return nil, err
	}
	lz4, err := kgo.DefaultCompressor(kgo.Lz4Compression())
	if err != nil {
		return nil, fmt.Errorf("making a compressor: %w", err)
	}
	where := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	s := eventStream{addresses: addresses, untimed: true}
	keys, values := make([][][]byte, benchPartitions), make([][][]byte, benchPartitions)
	for i, full := 0, 0; full < benchPartitions; i++ {
		ev := s.at(i)
		key := ev.client.AppendTo(nil)
		p := where.Partition(&kgo.Record{Key: key}, benchPartitions)
		if len(g.batches[p]) == batchesEach {
			continue
		}
		if len(keys[p])%probeEvery == 0 {
			ev.status = benchProbeStatus
		}
		keys[p], values[p] = append(keys[p], key), append(values[p], s.encode(nil, i, ev))
		if len(keys[p]) < perTick {
			continue
		}
		batch, err := encodeBatch(lz4, keys[p], values[p])
		if err != nil {
			return nil, err
		}
		keys[p], values[p] = keys[p][:0], values[p][:0]
		if g.batches[p] = append(g.batches[p], batch); len(g.batches[p]) == batchesEach {
			full++
		}
	}
	return g, nil
}

// findLeaders waits until every partition of a topic that was just made has a leader.
func (g *generator) findLeaders(ctx context.Context, br *benchBroker) error {
	for {
		topics, err := br.admin().ListTopics(ctx, g.topic)
		if err != nil {
			return fmt.Errorf("looking for the leaders of %s: %w", g.topic, err)
		}
		g.id, g.leaders = topics[g.topic].ID, nil
		for p := range int32(benchPartitions) {
			if d, ok := topics[g.topic].Partitions[p]; ok && d.Leader >= 0 {
				g.leaders = append(g.leaders, d.Leader)
			}
		}
		if len(g.leaders) == benchPartitions {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for the leaders of %s: %w", g.topic, context.Cause(ctx))
		}
	}
}

// run sends for d and returns when every batch is answered. sent is complete then.
func (g *generator) run(ctx context.Context, d time.Duration) error {
	began := time.Now()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	unanswered := make(chan struct{}, mostUnanswered)
	turns := make([]int, benchPartitions)
	for n := 0; time.Duration(n)*g.every < d; n++ {
		due := began.Add(time.Duration(n) * g.every)
		if ahead := time.Until(due); ahead > 0 {
			timer := time.NewTimer(ahead)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			}
		}
		if err := g.err.Load(); err != nil {
			return *err
		}
		p := int32(n % benchPartitions)
		batch := g.batches[p][turns[p]%batchesEach]
		turns[p]++
		select {
		case unanswered <- struct{}{}:
		default:
			g.late.Add(1)
			continue
		}
		waiting.Go(func() {
			defer func() { <-unanswered }()
			if err := g.send(ctx, p, batch, due); err != nil {
				g.err.CompareAndSwap(nil, &err)
			}
		})
	}
	waiting.Wait()
	if err := g.err.Load(); err != nil {
		return *err
	}
	return nil
}

// send sends one batch and notes where it lies.
func (g *generator) send(ctx context.Context, partition int32, batch recordBatch, due time.Time) error {
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = partition, batch.at(due)
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = g.topic, g.id, []kmsg.ProduceRequestTopicPartition{part}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.Topics = -1, []kmsg.ProduceRequestTopic{topic}
	resp, err := g.cl.Broker(int(g.leaders[partition])).Request(ctx, req)
	if err != nil {
		return fmt.Errorf("sending a batch: %w", err)
	}
	answer := resp.(*kmsg.ProduceResponse).Topics
	if len(answer) != 1 || len(answer[0].Partitions) != 1 {
		return errors.New("sending a batch: the broker says nothing of it")
	}
	taken := answer[0].Partitions[0]
	if err := kerr.ErrorForCode(taken.ErrorCode); err != nil {
		return fmt.Errorf("sending a batch: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent = append(g.sent, sentBatch{partition: partition, base: taken.BaseOffset, records: batch.records, due: due})
	return nil
}
