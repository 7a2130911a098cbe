package consumer

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// detectPoll bounds the records of one turn, and with them how long a rebalance has to
// wait for it: about a quarter of a second where detect runs behind. It is more than a
// full fetch of one broker holds. A poll of 16,384 records had those of one partition,
// or two, which kept one of two processors busy: 0.80 M events/s, now 1.1 M.
const detectPoll = 1 << 18

// session is detect's membership in its group, with the engines of the partitions it
// owns. Each turn of its loop has the records of one poll judged, partitions side by
// side on as many goroutines as there are processors, waits until everything that came
// of them is acknowledged, marks them, and lets the group rebalance.
type session struct {
	member
	detect   *Detect
	producer *sink.Producer
	bans     *sink.Bans
	owned    map[topicPartition]*partition
	judges   []*judge
	rules    *ruleset   // of this process
	unset    kgo.Offset // what the client makes of partitions that the group has no offset of

	arrivals    arrivals[*partition]
	library     *library
	restoring   sink.Seldom
	state       *sink.StateWriter
	stateClient *kgo.Client
	inputs      atomic.Int64 // partitions of the topic that is judged
	answers     *answers     // to what is read

	errands  chan errand // to the goroutine that writes
	landed   chan errand // and back
	underway int         // errands that have not come back
	waiting  atomic.Bool // copies are due, and there is no room for their errands
	copies   []*detector.ShardCopy
	aged     time.Time // when the age of snapshots was shown last
	idled    time.Time // when partitions were last asked whether they are idle
	broken   error     // the state topic refuses us
	flushed  bool      // no more snapshots: the last ones are written or had their time, or would be of records that are not finished
}

func newSession(d *Detect, lasting context.Context, producer *sink.Producer, bans *sink.Bans, state *kgo.Client) *session {
	return &session{
		member: member{cfg: d.cfg, deps: d.deps, log: d.log, lasting: lasting},
		detect: d, producer: producer, bans: bans, owned: make(map[topicPartition]*partition), stateClient: state,
		arrivals: newArrivals[*partition](), answers: newAnswers(),
		library: newLibrary(&d.rules, d.cfg.Input.decoderOptions()),
		errands: make(chan errand, copiesInHand), landed: make(chan errand, copiesInHand),
	}
}

// run is the loop. It returns nil when ctx is done and everything is finished and
// committed, errAnew where another session may do better.
func (s *session) run(ctx context.Context) error {
	s.judges = make([]*judge, runtime.GOMAXPROCS(0))
	for i := range s.judges {
		s.judges[i] = &judge{topics: s.cfg.Topics}
	}
	err := s.useRules(s.detect.rules.Load())
	if err != nil {
		return err
	}
	if s.unset, err = s.cfg.Kafka.StartOffset(); err != nil {
		return err
	}
	if s.state, err = sink.NewStateWriter(s.stateClient, s.cfg.Topics.State, s.cfg.Kafka.Group, s.cfg.judged(), s.log); err != nil {
		return err
	}
	writing, cut := context.WithCancel(s.lasting)
	var writer sync.WaitGroup
	for range writers {
		writer.Go(func() { s.write(writing) })
	}
	defer writer.Wait()
	defer close(s.errands)
	defer cut()
	err = s.join(ctx, s.cfg.Kafka.Group, []string{s.cfg.judged()}, kgo.WithHooks(s.answers), kgo.AdjustFetchOffsetsFn(s.onOffsets),
		kgo.OnPartitionsAssigned(s.onAssigned), kgo.OnPartitionsRevoked(s.onRevoked), kgo.OnPartitionsLost(s.onLost))
	if err != nil {
		return unlessDone(ctx, err)
	}
	s.detect.said.ringing(s.wake.ring)
	defer s.detect.said.ringing(nil)
	defer s.detect.restoring.Store(0)
	defer s.drop(s.owned)
	defer s.leave()
	for stop := false; !stop; {
		err := s.turn(s.lasting, s.poll(ctx, detectPoll, pollWait))
		if stop = ctx.Err() != nil; stop && err == nil {
			s.flush(s.owned)
		}
		// Engines may have judged what a turn that failed has not finished.
		s.flushed = stop || err != nil
		s.cl.AllowRebalance()
		if err != nil {
			return err
		}
	}
	return nil
}

// turn takes one poll's records all the way. It waits for what they led to before the
// next poll. To judge on meanwhile would gain little: at full load that wait is 2 % of
// the loop's time, and at 100,000 events a second, 2,000 of them with a verdict, 0.9 ms
// of the 1.6 ms of a turn (`apiwarden bench --only detect,latency`).
func (s *session) turn(ctx context.Context, fetches kgo.Fetches) error {
	if err := s.arrive(); err != nil {
		return err
	}
	if err := s.adopt(); err != nil {
		return err
	}
	if err := s.align(ctx); err != nil {
		return err
	}
	if err := s.settleAll(ctx); err != nil {
		return err
	}
	work := s.collect(fetches)
	skips, err := s.fetchErrors(fetches)
	if err != nil {
		return err
	}
	if len(work) == 0 && len(skips) == 0 {
		s.breathe(fetches)
	}
	for len(work) > 0 || len(skips) > 0 {
		var later []batch
		work, later = untilLive(work)
		s.judge(work)
		if len(later) == 0 {
			for _, skip := range skips {
				work = s.skipBatch(work, skip)
			}
		}
		if err := s.deliver(ctx, work); err != nil {
			return fmt.Errorf("delivering what %d partitions led to: %w", len(work), err)
		}
		s.finish(work)
		if len(later) == 0 {
			s.pass(skips)
			skips = nil
		}
		if err := s.settleAll(ctx); err != nil {
			return err
		}
		work = later
	}
	if err := s.closeIdle(ctx); err != nil {
		return err
	}
	s.progress()
	return s.snapshot()
}

// settleAll makes the partitions live that may be.
func (s *session) settleAll(ctx context.Context) error {
	for _, p := range s.owned {
		if p.replay != nil && p.next >= p.replay.end {
			if err := s.settle(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// untilLive cuts off what comes after a partition has become live: that waits for its
// journal.
func untilLive(work []batch) (now, later []batch) {
	for _, b := range work {
		n := len(b.records)
		if b.p.replay != nil {
			end := b.p.replay.end
			n = sort.Search(n, func(i int) bool { return b.records[i].Offset >= end })
		}
		if n < len(b.records) {
			later = append(later, batch{b.p, b.records[n:]})
		}
		if n > 0 {
			now = append(now, batch{b.p, b.records[:n]})
		} else { // nothing is left below it
			b.p.next = max(b.p.next, b.p.replay.end)
		}
	}
	return now, later
}

// batch is the records of one partition in one poll.
type batch struct {
	p       *partition
	records []*kgo.Record
}

// collect gives the records by partition, of those that we own.
func (s *session) collect(fetches kgo.Fetches) []batch {
	var work []batch
	index := make(map[*partition]int)
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p := s.owned[topicPartition{f.Topic, f.Partition}]
		if p == nil || len(f.Records) == 0 {
			return
		}
		p.lag.polled(f.HighWatermark, f.Records[0])
		p.start = max(p.start, f.LogStartOffset)
		if i, twice := index[p]; twice {
			work[i].records = append(work[i].records, f.Records...)
			return
		}
		index[p] = len(work)
		work = append(work, batch{p, f.Records})
	})
	return work
}

// judge has each partition's records judged; partitions side by side, each in order.
func (s *session) judge(work []batch) {
	if len(work) == 1 || len(s.judges) == 1 {
		for _, b := range work {
			s.judges[0].records(b.p, b.records)
		}
		return
	}
	// The largest first, so that the last ones to be taken are small.
	slices.SortFunc(work, func(a, b batch) int { return len(b.records) - len(a.records) })
	next := make(chan batch, len(work))
	for _, b := range work {
		next <- b
	}
	close(next)
	var wg sync.WaitGroup
	for _, j := range s.judges[:min(len(s.judges), len(work))] {
		wg.Go(func() {
			for b := range next {
				j.records(b.p, b.records)
			}
		})
	}
	wg.Wait()
}

// deliver returns nil once all that is in the outboxes is acknowledged.
func (s *session) deliver(ctx context.Context, work []batch) error {
	var recs []*kgo.Record
	var bans []sink.BanUpdate
	// Nobody reads them where the topic is missing. Rules that learn have been refused then.
	told := s.detect.readers.Load() > 0 || learns(s.rules.program)
	for _, b := range work {
		recs = append(append(recs, b.p.out.verdicts...), b.p.out.letters...)
		bans = append(bans, b.p.out.bans...)
		if told {
			recs = append(recs, b.p.out.summaries...)
		}
	}
	g, sending := errgroup.WithContext(ctx)
	g.Go(func() error { return s.producer.Send(sending, recs) })
	if len(bans) > 0 {
		g.Go(func() error { return s.bans.Publish(sending, bans) })
	}
	if err := g.Wait(); err != nil || !told {
		return err
	}
	// A record that is sent again may come after those that were sent with it: so the marks
	// wait until all summaries are acknowledged. Sending those has said how many readers there are.
	var marks []*kgo.Record
	for _, b := range work {
		marks = append(marks, s.markRecords(b.p, max(0, int(s.detect.readers.Load())))...)
	}
	return s.producer.Send(ctx, marks)
}

// markRecords are the records of a partition's marks, for so many readers.
func (s *session) markRecords(p *partition, readers int) []*kgo.Record {
	var recs []*kgo.Record
	for i := range p.out.marks {
		m := &p.out.marks[i]
		m.Partitions = int(s.inputs.Load())
		recs = append(recs, sink.MarkRecords(s.cfg.Topics.EndpointStats, m, readers)...)
	}
	return recs
}

// finish marks what is done with and counts it.
func (s *session) finish(work []batch) {
	now := time.Now()
	m := s.deps.Metrics
	last := make([]*kgo.Record, 0, len(work))
	for _, b := range work {
		out := &b.p.out
		if n := len(b.records); n > 0 {
			r := b.records[n-1]
			b.p.lag.finished(r)
			b.p.next, b.p.heard = r.Offset+1, now
			if r.Offset >= b.p.committed { // what is read again is neither committed nor counted
				last = append(last, r)
				seen := sort.Search(n, func(i int) bool { return b.records[i].Offset >= b.p.committed })
				m.Records.WithLabelValues(r.Topic).Add(float64(n - seen))
			}
		}
		for _, d := range out.decisions {
			m.Verdicts.WithLabelValues(d.rule, string(d.action)).Inc()
			m.VerdictAge.Observe(now.Sub(time.UnixMicro(d.event)).Seconds())
		}
		for _, reason := range out.reasons {
			m.DeadLetters.WithLabelValues(string(reason)).Inc()
		}
		for i, n := range out.outcomes {
			m.Outcomes.WithLabelValues(outcomes[i]).Add(float64(n))
		}
		m.Miskeyed.Add(float64(out.miskeyed))
		m.Summaries.Add(float64(len(out.summaries)))
		if out.miskeyed > 0 && !s.detect.strayed.Swap(true) {
			s.log.Warn("records are not keyed by their subject: its events may lie in several partitions and rules can miss it (said once, counted as apiwarden_consumer_miskeyed_records_total)",
				zap.String("topic", out.stray.Topic), zap.Int32("partition", out.stray.Partition), zap.Int64("offset", out.stray.Offset),
				zap.ByteString("key", out.stray.Key[:min(len(out.stray.Key), 64)]), zap.String("subject", out.belongs))
		}
		stats := b.p.engine.Stats()
		if b.p.replay != nil && b.p.next <= b.p.replay.muted {
			m.again(b.p, stats)
		}
		m.engine(b.p, stats)
		out.reset()
	}
	s.cl.MarkCommitRecords(last...)
}

// skipBatch dead-letters a batch that is too large to be unpacked.
func (s *session) skipBatch(work []batch, skip *kgo.ErrDecompressTooLarge) []batch {
	p := s.owned[topicPartition{skip.Topic, skip.Partition}]
	if p == nil || p.replay != nil && skip.Offset < p.replay.muted {
		return work
	}
	r := &kgo.Record{Topic: skip.Topic, Partition: skip.Partition, Offset: skip.Offset}
	p.out.letters = append(p.out.letters, sink.DeadLetter(s.cfg.Topics.DLQ, r, tooLargeBatch(skip)))
	p.out.reasons = append(p.out.reasons, schemas.ReasonTooLarge)
	for _, b := range work {
		if b.p == p {
			return work
		}
	}
	return append(work, batch{p: p})
}

// pass goes on after batches that cannot be unpacked. One that is met again while a
// partition is restored was committed then: it is not marked.
func (s *session) pass(skips []*kgo.ErrDecompressTooLarge) {
	var again []*kgo.ErrDecompressTooLarge
	skips = slices.DeleteFunc(skips, func(b *kgo.ErrDecompressTooLarge) bool {
		p := s.owned[topicPartition{b.Topic, b.Partition}]
		if p == nil {
			return true
		}
		p.next = max(p.next, b.NextOffset)
		if b.NextOffset <= p.committed {
			again = append(again, b)
			return true
		}
		return false
	})
	s.cl.SetOffsets(behind(again))
	s.skip(skips)
}
