package consumer

import (
	"context"
	"fmt"
	"time"
)

// idleAfter is how long a partition that is read to its end has nothing to say until
// summaries are closed by the clock.
const idleAfter = pollWait

// deafAfter is how long a broker may take to answer until we were deaf: it was away, or
// we stood still, with records at hand or without. Then it is not its partitions that had
// nothing to say.
const deafAfter = 5 * time.Second

// idleEvery is how often partitions are asked whether they are idle.
const idleEvery = idleAfter / 4

// closeIdle has live partitions in which nothing happens close the buckets of their
// summaries as time goes by: else an endpoint's bucket would wait for the next event of
// each partition, and those of partitions with an event a minute would come too late.
func (s *session) closeIdle(ctx context.Context) error {
	now := time.Now()
	if now.Sub(s.idled) < idleEvery {
		return nil
	}
	s.idled = now
	var work []batch
	for _, p := range s.owned {
		leader, _, _ := s.cl.PartitionLeader(p.tp.topic, p.tp.partition)
		silent := p.silence(leader, s.answers.of(leader), now)
		if p.replay != nil || p.lag.records() > 0 || silent < idleAfter {
			continue
		}
		p.engine.CloseIdle(p.next, silent.Microseconds())
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

// silence gives for how long the partition is known to have had nothing to say: until its
// leader answered last, without the time in which that was too long ago or another one led.
func (p *partition) silence(leader int32, answered, now time.Time) time.Duration {
	if deaf := answered.Sub(p.answered); deaf >= deafAfter || deaf > 0 && leader != p.leader {
		p.heard = p.heard.Add(min(deaf, now.Sub(p.heard)))
	}
	p.leader, p.answered = leader, answered
	return answered.Sub(p.heard)
}
