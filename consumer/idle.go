package consumer

import (
	"context"
	"fmt"
	"time"
)

// idleAfter is how long a partition that is read to its end has nothing to say until
// summaries are closed by the clock.
const idleAfter = pollWait

// standing is how long a turn may take before we have stood still, or Kafka was away:
// then it is not the partitions that had nothing to say.
const standing = 5 * time.Second

// closeIdle has live partitions in which nothing happens close the buckets of their
// summaries as time goes by: else an endpoint's bucket would wait for the next event of
// each partition, and those of partitions with an event a minute would come too late.
func (s *session) closeIdle(ctx context.Context) error {
	var work []batch
	now := time.Now()
	stood := now.Sub(s.idled) - standing
	s.idled = now
	for _, p := range s.owned {
		if stood > 0 {
			p.heard = p.heard.Add(min(stood, now.Sub(p.heard)))
		}
		if p.replay != nil || p.lag.records() > 0 || now.Sub(p.heard) < idleAfter {
			continue
		}
		p.engine.CloseIdle(p.next, now.Sub(p.heard).Microseconds())
		if summaries, mark := p.engine.TakeSummaries(); mark != nil {
			s.judges[0].summarized(p, summaries, mark)
			p.rotation.shards[p.engine.SummaryShard()].touched = true
			work = append(work, batch{p: p})
		}
	}
	if len(work) == 0 {
		return nil
	}
	if err := s.deliver(ctx, work); err != nil {
		return fmt.Errorf("delivering summaries of %d idle partitions: %w", len(work), err)
	}
	s.finish(work)
	return nil
}
