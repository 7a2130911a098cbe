package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
)

// silence is how long nothing may come from a topic that should have more before we
// take it as read: compaction may have taken its last record.
const silence = 5 * time.Second

// catchUp reads the ban topic up to where it ends now.
func (b *Bans) catchUp(ctx context.Context) error {
	ends, err := b.ends(ctx)
	if err != nil {
		return unlessDone(ctx, err)
	}
	last := time.Now()
	for len(ends) > 0 && ctx.Err() == nil && time.Since(last) < silence {
		poll, cancel := context.WithTimeout(ctx, silence)
		fetches := b.cl.PollFetches(poll)
		cancel()
		if _, err := b.fetchErrors(fetches); err != nil {
			return unlessDone(ctx, err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		last = time.Now()
		if err := b.enter(ctx); err != nil {
			return unlessDone(ctx, err)
		}
		b.read(fetches)
		b.leave()
		ends.passed(fetches)
	}
	return nil
}

// ends asks for the topic's ends until it is told.
func (b *Bans) ends(ctx context.Context) (openEnds, error) {
	for n := 0; ; n++ {
		ends, err := topicEnds(ctx, b.cl, b.topic)
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

// ReadBans reads the ban topic from its start to its present end and gives what is
// active now, by scope and value. It uses cl for a direct consumer of the topic,
// which has to be a client that consumes nothing else; the caller closes it.
func ReadBans(ctx context.Context, cl *kgo.Client, topic string) ([]schemas.Ban, error) {
	open, err := topicEnds(ctx, cl, topic)
	if err != nil {
		return nil, err
	}
	from := make(map[int32]kgo.Offset, len(open))
	for p := range open {
		from[p] = kgo.NewOffset().AtStart()
	}
	if len(from) > 0 {
		cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	}
	live := make(map[string]*schemas.Ban)
	for last := time.Now(); len(open) > 0 && time.Since(last) < silence; {
		poll, cancel := context.WithTimeout(ctx, silence)
		fetches := cl.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("reading topic %s: %w", topic, ctx.Err())
		}
		var failed error
		fetches.EachError(func(_ string, p int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				failed = refusedOr(fmt.Sprintf("reading topic %s, partition %d", topic, p), err)
			}
		})
		if failed != nil {
			return nil, failed
		}
		if fetches.NumRecords() > 0 {
			last = time.Now()
		}
		fetches.EachRecord(func(r *kgo.Record) { live[string(r.Key)] = decodeBan(r) })
		open.passed(fetches)
	}
	now := time.Now().UnixMicro()
	bans := make([]schemas.Ban, 0, len(live))
	for _, b := range live {
		if b != nil && !ended(b, now) {
			bans = append(bans, *b)
		}
	}
	slices.SortFunc(bans, func(a, b schemas.Ban) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Value, b.Value))
	})
	return bans, nil
}
