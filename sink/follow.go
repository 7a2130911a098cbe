package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// FollowOpts are the options of a client that follows a compacted topic: all of it
// from the start, in no group.
func FollowOpts(topic string) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumeTopics(topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.FetchMaxBytes(8 << 20),
	}
}

// followed is a topic that a client made with FollowOpts follows.
type followed struct {
	cl    *kgo.Client
	topic string
	log   *zap.Logger
}

// silence is how long nothing may come from a topic that should have more before we
// take it as read: compaction may have taken its last record.
const silence = 5 * time.Second

// catchUp reads the topic up to where it ends now and gives take what it reads. It
// returns nil too where ctx ends first.
func (f *followed) catchUp(ctx context.Context, take func(context.Context, kgo.Fetches) error) error {
	ends, err := f.ends(ctx)
	if err != nil {
		return unlessDone(ctx, err)
	}
	last := time.Now()
	for len(ends) > 0 && ctx.Err() == nil && time.Since(last) < silence {
		poll, cancel := context.WithTimeout(ctx, silence)
		fetches := f.cl.PollFetches(poll)
		cancel()
		if _, err := f.errors(fetches); err != nil {
			return unlessDone(ctx, err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		last = time.Now()
		if err := take(ctx, fetches); err != nil {
			return unlessDone(ctx, err)
		}
		ends.passed(fetches)
	}
	return nil
}

// anew reads the topic from its start once more, after it was deleted and perhaps
// created again.
func (f *followed) anew() {
	f.cl.PurgeTopicsFromClient(f.topic)
	f.cl.AddConsumeTopics(f.topic)
}

// errors says whether the topic has to be read anew, or that we are refused.
func (f *followed) errors(fetches kgo.Fetches) (anew bool, err error) {
	fetches.EachError(func(topic string, partition int32, ferr error) {
		if errors.Is(ferr, context.DeadlineExceeded) || errors.Is(ferr, context.Canceled) {
			return
		}
		if perm := Refusal("following topic "+f.topic, ferr); perm != nil {
			err = errors.Join(err, perm)
			return
		}
		if errors.Is(ferr, kgo.ErrClientClosed) {
			err = errors.Join(err, fmt.Errorf("following topic %s: %w", f.topic, ferr))
			return
		}
		anew = true
		f.log.Warn("a topic that is followed is read again from its start", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(ferr))
	})
	return anew, err
}

// ends asks for the topic's ends until it is told.
func (f *followed) ends(ctx context.Context) (openEnds, error) {
	for n := 0; ; n++ {
		ends, err := topicEnds(ctx, f.cl, f.topic)
		if err == nil || ctx.Err() != nil || IsPermanent(err) {
			return ends, err
		}
		if err := wait(ctx, retryBackoff(n)); err != nil {
			return nil, err
		}
	}
}

// openEnds are the ends of partitions that have not been read up to them.
type openEnds map[int32]int64

func topicEnds(ctx context.Context, cl *kgo.Client, topic string) (openEnds, error) {
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, refusedOr("looking for the start of topic "+topic, err)
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, refusedOr("looking for the end of topic "+topic, err)
	}
	open := make(openEnds)
	ends.Each(func(o kadm.ListedOffset) {
		if s, ok := starts.Lookup(topic, o.Partition); ok && s.Offset < o.Offset {
			open[o.Partition] = o.Offset
		}
	})
	return open, nil
}

func (o openEnds) passed(fetches kgo.Fetches) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if n := len(p.Records); n > 0 && p.Records[n-1].Offset+1 >= o[p.Partition] {
			delete(o, p.Partition)
		}
	})
}

// readTopic gives take every record of a topic, from its start to its present end. It
// uses cl for a direct consumer of the topic, which has to be a client that consumes
// nothing else of it; unlike a follower it does not wait where reading fails.
func readTopic(ctx context.Context, cl *kgo.Client, topic string, take func(*kgo.Record)) error {
	open, err := topicEnds(ctx, cl, topic)
	if err != nil {
		return err
	}
	from := make(map[int32]kgo.Offset, len(open))
	for p := range open {
		from[p] = kgo.NewOffset().AtStart()
	}
	if len(from) > 0 {
		cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	}
	for last := time.Now(); len(open) > 0 && time.Since(last) < silence; {
		poll, cancel := context.WithTimeout(ctx, silence)
		fetches := cl.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("reading topic %s: %w", topic, ctx.Err())
		}
		if err := fetchError(fetches); err != nil {
			return err
		}
		if fetches.NumRecords() > 0 {
			last = time.Now()
		}
		fetches.EachRecord(take)
		open.passed(fetches)
	}
	return nil
}

// fetchError gives an error of a poll that is more than having waited in vain.
func fetchError(fetches kgo.Fetches) error {
	var failed error
	fetches.EachError(func(topic string, p int32, err error) {
		if !errors.Is(err, context.DeadlineExceeded) {
			failed = refusedOr(fmt.Sprintf("reading topic %s, partition %d", topic, p), err)
		}
	})
	return failed
}
