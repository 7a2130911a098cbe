package consumer

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/sink"
)

// span is the offsets of a partition from one up to another, without that one.
type span struct{ from, until int64 }

const (
	// spanPoll bounds the records that are taken at once.
	spanPoll = 1 << 15
	// spanSilence is how long nothing may come of a span before it is taken as read:
	// its last records may have been compacted away, deleted or aborted.
	spanSilence = 15 * time.Second
)

// spanOpts are the options of a client for readSpans.
func spanOpts() []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the end of a transaction may be the end of a span
		kgo.FetchMaxBytes(8 << 20),
		kgo.FetchMaxPartitionBytes(8 << 20),
		kgo.FetchMaxWait(250 * time.Millisecond),
		kgo.MaxConcurrentFetches(2),
		kgo.MaxDecompressBatchBytes(maxBatch),
	}
}

// stretchOfLog is records of one partition that follow each other.
type stretchOfLog struct {
	partition int32
	logStart  int64 // where the partition begins now
	records   []*kgo.Record
}

// spanReader reads parts of a topic.
type spanReader struct {
	cl    *kgo.Client // made with spanOpts, consumes nothing else
	topic string
	log   *zap.Logger
	take  func(stretchOfLog) error // gets everything, each partition in order
	fails sink.Seldom
	left  map[int32]int64 // the ends of spans that have not been read up to them
}

// read reads spans, by partition. It returns once take has had all of them; an error of
// take ends it. Batches that are too large to be unpacked are left out, as detect does.
func (r *spanReader) read(ctx context.Context, spans map[int32]span) error {
	r.left = make(map[int32]int64)
	from := make(map[int32]kgo.Offset)
	for n, s := range spans {
		if s.until > s.from {
			r.left[n], from[n] = s.until, kgo.NewOffset().At(s.from)
		}
	}
	r.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: from})
	for last := time.Now(); len(r.left) > 0; {
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fetches := r.cl.PollRecords(poll, spanPoll)
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("reading topic %s: %w", r.topic, context.Cause(ctx))
		}
		came, err := r.fetched(fetches)
		if err != nil {
			return err
		}
		if came {
			last = time.Now()
		}
		if time.Since(last) < spanSilence {
			continue
		}
		// An outage looks the same, but then nobody answers here.
		if _, err := listed(kadm.NewClient(r.cl).ListStartOffsets(ctx, r.topic)); err != nil {
			return err
		}
		r.log.Warn("the last records of a span do not come: they are not there any more", zap.String("topic", r.topic), zap.Int("partitions", len(r.left)))
		return nil
	}
	return nil
}

// fetched takes what a poll has given, and reports whether it got anywhere.
func (r *spanReader) fetched(fetches kgo.Fetches) (came bool, err error) {
	fetches.EachError(func(topic string, partition int32, ferr error) {
		var large *kgo.ErrDecompressTooLarge
		switch {
		case errors.Is(ferr, context.DeadlineExceeded):
		case errors.As(ferr, &large):
			came = true
			r.leaveOut(large)
		case errors.Is(ferr, kgo.ErrClientClosed):
			err = fmt.Errorf("reading topic %s: %w", topic, ferr)
		default:
			if perm := sink.Refusal(fmt.Sprintf("reading %s/%d", topic, partition), ferr); perm != nil {
				err = perm
			} else if r.fails.Due() {
				r.log.Warn("reading fails, trying again", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(ferr))
			}
		}
	})
	if err != nil {
		return came, err
	}
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		until, open := r.left[f.Partition]
		if !open || len(f.Records) == 0 || err != nil {
			return
		}
		came = true
		n := sort.Search(len(f.Records), func(i int) bool { return f.Records[i].Offset >= until })
		if n > 0 {
			err = r.take(stretchOfLog{f.Partition, f.LogStartOffset, f.Records[:n]})
		}
		if f.Records[len(f.Records)-1].Offset+1 >= until {
			r.close(f.Partition)
		}
	})
	return came, err
}

// leaveOut goes on behind a batch.
func (r *spanReader) leaveOut(b *kgo.ErrDecompressTooLarge) {
	until, open := r.left[b.Partition]
	if !open {
		return
	}
	r.close(b.Partition)
	if b.NextOffset < until {
		r.left[b.Partition] = until
		r.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: {b.Partition: kgo.NewOffset().At(b.NextOffset)}})
	}
}

// close ends reading a partition.
func (r *spanReader) close(partition int32) {
	delete(r.left, partition)
	r.cl.RemoveConsumePartitions(map[string][]int32{r.topic: {partition}})
}
