package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/sink"
)

// learningPoll bounds the records of one turn: buckets are judged between turns.
const learningPoll = 16_384

// learning is the membership of Stats in its group, with what is learned from the
// partitions it owns. A turn of its loop merges the summaries of one poll, judges the
// buckets that are complete or have waited for long enough, and marks the records once the
// verdicts are acknowledged; see session.run. Nothing here depends on being fast.
type learning struct {
	member
	stats    *Stats
	program  *detector.Program
	producer *sink.Producer
	state    *sink.StateWriter
	client   *kgo.Client // of state
	unset    kgo.Offset  // what the client makes of partitions that the group has no offset of
	arrivals arrivals[*learner]
	owned    map[topicPartition]*learner
	reader   summaryReader

	refused   time.Time // when the state topic took no snapshot
	permanent error     // it never will
	flushed   bool      // the last snapshots before the end have been written, or had their time
}

func newLearning(s *Stats, lasting context.Context, producer *sink.Producer, state *kgo.Client) *learning {
	l := &learning{
		member: member{cfg: s.cfg, deps: s.deps, log: s.log, lasting: lasting},
		stats:  s, program: s.rules.Load(), producer: producer, client: state,
		arrivals: newArrivals[*learner](), owned: make(map[topicPartition]*learner),
	}
	l.reader = summaryReader{logs: s.cfg.judged(), metrics: s.deps.Metrics, log: s.log}
	return l
}

// run is the loop; see session.run.
func (s *learning) run(ctx context.Context) (err error) {
	topic := s.cfg.Topics.EndpointStats
	if s.unset, err = s.cfg.Kafka.StartOffset(); err != nil {
		return err
	}
	if s.state, err = sink.NewStateWriter(s.client, s.cfg.Topics.State, s.cfg.Kafka.Group, topic, s.log); err != nil {
		return err
	}
	err = s.join(ctx, s.stats.Group(), []string{topic}, kgo.AdjustFetchOffsetsFn(s.onOffsets),
		kgo.OnPartitionsRevoked(s.onRevoked), kgo.OnPartitionsLost(s.onLost))
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer s.drop(s.owned)
	defer s.leave()
	for stop := false; !stop; {
		err := s.turn(s.lasting, s.poll(ctx, learningPoll, pollWait))
		if stop = ctx.Err() != nil; stop && err == nil {
			s.flush(s.owned)
			s.flushed = true
		}
		s.cl.AllowRebalance()
		if err != nil {
			return err
		}
	}
	return nil
}

// turn takes one poll's records all the way.
func (s *learning) turn(ctx context.Context, fetches kgo.Fetches) error {
	if err := s.arrive(); err != nil {
		return err
	}
	s.adopt()
	skips, err := s.fetchErrors(fetches)
	if err != nil {
		return err
	}
	if fetches.NumRecords() == 0 {
		s.breathe(fetches)
	}
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if l := s.owned[topicPartition{f.Topic, f.Partition}]; l != nil && len(f.Records) > 0 {
			l.lag.polled(f.HighWatermark, f.Records[0])
			l.take(&s.reader, f.Records)
			l.end = max(l.end, f.HighWatermark)
		}
	})
	if err := s.deliver(ctx); err != nil {
		return err
	}
	for _, skip := range skips { // such as no summaries make
		s.log.Error("a batch of summaries is too large to be unpacked, its buckets are incomplete", zap.Error(skip))
	}
	s.skip(skips)
	return s.snapshot(ctx)
}

// deliver judges what can be judged, has the verdicts acknowledged, and marks what led to
// them.
func (s *learning) deliver(ctx context.Context) error {
	var verdicts, last []*kgo.Record
	var decisions []decision
	now := time.Now()
	for _, l := range s.owned {
		l.judge(s.deps.Metrics, now)
		for i := range l.verdicts {
			v := &l.verdicts[i]
			verdicts = append(verdicts, sink.VerdictRecord(s.cfg.Topics.Verdicts, v))
			decisions = append(decisions, decision{rule: v.RuleID, action: v.Action})
		}
		l.verdicts = l.verdicts[:0]
	}
	if err := s.producer.Send(ctx, verdicts); err != nil {
		return fmt.Errorf("delivering verdicts of learned rules: %w", err)
	}
	for _, d := range decisions {
		s.deps.Metrics.Verdicts.WithLabelValues(d.rule, string(d.action)).Inc()
	}
	for _, l := range s.owned {
		if r := l.last; r != nil {
			l.last = nil
			l.lag.finished(r)
			if r.Offset >= l.committed {
				last = append(last, r)
			}
		}
	}
	s.cl.MarkCommitRecords(last...)
	return nil
}

// adopt takes other rules over where somebody has given the stage some.
func (s *learning) adopt() {
	if p := s.stats.rules.Load(); p != s.program {
		s.program = p
		for _, l := range s.owned {
			l.baselines.Adopt(p)
		}
	}
}

// arrive takes the partitions that have been restored.
func (s *learning) arrive() error {
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	for tp, l := range s.arrivals.ready {
		if have := s.owned[tp]; have != nil { // the client had not begun to read it
			s.drop(map[topicPartition]*learner{tp: have})
		}
		l.lag = s.deps.Metrics.StatsLag.add(tp)
		l.lag.next.Store(l.next)
		l.lag.high.Store(l.end)
		s.deps.Metrics.learned(l, l.baselines.Stats())
		if s.program != l.program {
			l.baselines.Adopt(s.program)
		}
		s.owned[tp] = l
	}
	clear(s.arrivals.ready)
	return s.arrivals.failed
}

// onRevoked commits what is finished, while the partitions are still ours, and writes what
// was learned since the last snapshots.
func (s *learning) onRevoked(_ context.Context, cl *kgo.Client, gone map[string][]int32) {
	s.commitRevoked(cl)
	if !s.flushed {
		s.flush(among(s.owned, gone))
	}
	s.dropAll(gone)
}

// onLost forgets partitions: somebody else may have gone on already.
func (s *learning) onLost(_ context.Context, _ *kgo.Client, gone map[string][]int32) { s.dropAll(gone) }

func (s *learning) dropAll(gone map[string][]int32) {
	s.arrivals.gone(gone)
	s.drop(among(s.owned, gone))
}

func (s *learning) drop(gone map[topicPartition]*learner) {
	for tp, l := range gone {
		s.deps.Metrics.learned(l, detector.BaselinesStats{})
		s.deps.Metrics.StatsLag.remove(tp)
		delete(s.owned, tp)
	}
}
