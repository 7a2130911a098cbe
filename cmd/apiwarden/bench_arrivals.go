package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// arrivals reads the verdict topic as a subscriber does and notes when each verdict
// of the rule probe came. A broker gives a record to consumers only once it is
// acknowledged, so the moment it comes is a little later than that.
type arrivals struct {
	cl   *kgo.Client
	stop context.CancelFunc
	done sync.WaitGroup

	mu   sync.Mutex
	came []arrival
}

// arrival is the position of a verdict's trigger, and when the verdict came.
type arrival struct {
	partition int32
	offset    int64
	at        time.Time
}

// followVerdicts begins to read; close ends it.
func followVerdicts(ctx context.Context, brokers []string, topic string) (*arrivals, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.DisableClientMetrics(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, fmt.Errorf("setting up the kafka client: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	a := &arrivals{cl: cl, stop: stop}
	a.done.Go(func() {
		for ctx.Err() == nil {
			fetches := cl.PollFetches(ctx)
			now := time.Now()
			fetches.EachRecord(func(r *kgo.Record) { a.note(r.Value, now) })
		}
	})
	return a, nil
}

func (a *arrivals) close() {
	a.stop()
	a.done.Wait()
	a.cl.Close()
}

func (a *arrivals) note(value []byte, at time.Time) {
	if !bytes.Contains(value, []byte(`"rule_id":"probe"`)) {
		return
	}
	var v struct {
		Trigger struct {
			Partition int32 `json:"partition"`
			Offset    int64 `json:"offset"`
		} `json:"trigger"`
	}
	if json.Unmarshal(value, &v) != nil {
		return // it is missed then, and missing verdicts are told
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.came = append(a.came, arrival{v.Trigger.Partition, v.Trigger.Offset, at})
}

// latencies gives how long each verdict took, in milliseconds and sorted: from when the
// batch of its trigger was due, of those that were due from the instant from on.
func (a *arrivals) latencies(sent []sentBatch, from time.Time) []float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := func(x, y sentBatch) int {
		return cmp.Or(cmp.Compare(x.partition, y.partition), cmp.Compare(x.base, y.base))
	}
	slices.SortFunc(sent, before)
	var took []float64
	for _, v := range a.came {
		i, exact := slices.BinarySearchFunc(sent, sentBatch{partition: v.partition, base: v.offset}, before)
		if !exact {
			i--
		}
		if i < 0 || sent[i].partition != v.partition || v.offset >= sent[i].base+int64(sent[i].records) || sent[i].due.Before(from) {
			continue
		}
		took = append(took, v.at.Sub(sent[i].due).Seconds()*1000)
	}
	slices.Sort(took)
	return took
}

// expected is how many verdicts the batches due from the instant from on lead to.
func expected(sent []sentBatch, from time.Time) int {
	n := 0
	for _, s := range sent {
		if !s.due.Before(from) {
			n += (s.records + probeEvery - 1) / probeEvery
		}
	}
	return n
}
