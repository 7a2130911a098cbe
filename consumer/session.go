package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

const (
	// maxPoll bounds the records of one turn, and with them how long a rebalance has
	// to wait for it.
	maxPoll = 16_384
	// pollWait is how long a turn without records may take.
	pollWait = time.Second
)

// session is one membership in the group, with the engines of the partitions it owns.
//
// Its loop polls a bounded number of records, has each partition's judged on as many
// goroutines as there are processors, waits until everything that came of them is
// acknowledged, marks them, and only then lets the group rebalance. Callbacks of the
// assignment never run between a poll and that point, so nothing here needs a lock. What
// is marked is committed each second, on revocation and at the end.
type session struct {
	*Detect
	lasting  context.Context // outlives the request to stop, to finish and commit
	producer *sink.Producer
	bans     *sink.Bans

	cl     *kgo.Client
	owned  map[topicPartition]*partition
	judges []*judge
	failed sink.Seldom
}

func newSession(d *Detect, lasting context.Context, producer *sink.Producer, bans *sink.Bans) *session {
	return &session{Detect: d, lasting: lasting, producer: producer, bans: bans, owned: make(map[topicPartition]*partition)}
}

// groupOpts are the options of every group we are in.
func groupOpts(cfg Config, group string, topics ...string) ([]kgo.Opt, error) {
	start, err := cfg.Kafka.StartOffset()
	if err != nil {
		return nil, err
	}
	return []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeStartOffset(start),
		kgo.ConsumeResetOffset(kgo.RewindOffset(time.Minute)),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.BlockRebalanceOnPoll(),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(time.Second),
		kgo.SessionTimeout(30 * time.Second),
		// An event of an aborted transaction did not happen. The ends of transactions
		// take offsets, which the lag has to know.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		// A record larger than these is still delivered, alone.
		kgo.FetchMaxBytes(8 << 20),
		kgo.FetchMaxPartitionBytes(2 << 20),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.MaxConcurrentFetches(16),
		kgo.MaxDecompressBatchBytes(maxBatch),
	}, nil
}

// maxBatch is what a batch of records may decompress to. One that goes beyond is
// dead-lettered as a whole, unread.
const maxBatch = 128 << 20

func (s *session) connect(ctx context.Context) error {
	opts, err := groupOpts(s.cfg, s.cfg.Kafka.Group, s.cfg.Topics.Logs)
	if err != nil {
		return err
	}
	opts = append(opts,
		kgo.OnPartitionsAssigned(s.onAssigned),
		kgo.OnPartitionsRevoked(s.onRevoked),
		kgo.OnPartitionsLost(s.onLost),
		kgo.AutoCommitCallback(s.onCommit),
	)
	s.cl, err = sink.Connect(ctx, s.cfg.Kafka, s.log, append(opts, s.deps.Kafka...)...)
	return err
}

// run is the loop. It returns nil when ctx is done and everything is finished and
// committed, errAnew where another session may do better.
func (s *session) run(ctx context.Context) error {
	for range runtime.GOMAXPROCS(0) {
		dec, err := schemas.NewDecoder(s.cfg.Input.decoderOptions())
		if err != nil {
			return err
		}
		s.judges = append(s.judges, &judge{decoder: dec, identity: s.deps.Program.Identity(), topics: s.cfg.Topics})
	}
	if err := s.connect(ctx); err != nil {
		return unlessDone(ctx, err)
	}
	defer s.close()
	for ctx.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, pollWait)
		fetches := s.cl.PollRecords(poll, maxPoll)
		cancel()
		err := s.turn(s.lasting, fetches)
		s.cl.AllowRebalance()
		if err != nil {
			return err
		}
	}
	return nil
}

// close commits what is marked and leaves the group.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(s.lasting, 10*time.Second)
	defer cancel()
	s.commit(ctx)
	if err := s.cl.LeaveGroupContext(ctx); err != nil {
		s.log.Warn("leaving the group was not answered: its partitions are free when the session times out", zap.Error(err))
	}
	s.cl.Close()
	s.drop(s.owned)
}

// turn takes one poll's records all the way.
func (s *session) turn(ctx context.Context, fetches kgo.Fetches) error {
	work := s.collect(fetches)
	skips, err := s.fetchErrors(fetches)
	if err != nil {
		return err
	}
	if len(work) == 0 && len(skips) == 0 {
		return s.breathe(ctx, fetches)
	}
	s.judge(work)
	for _, skip := range skips {
		work = s.skipBatch(work, skip)
	}
	if err := s.deliver(ctx, work); err != nil {
		return fmt.Errorf("delivering what %d partitions led to: %w", len(work), err)
	}
	s.finish(work)
	for _, skip := range skips {
		s.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{
			skip.Topic: {skip.Partition: {Epoch: skip.Epoch, Offset: skip.NextOffset}},
		})
	}
	return nil
}

// breathe keeps a broker that answers each fetch with an error from being asked
// without a pause.
func (s *session) breathe(ctx context.Context, fetches kgo.Fetches) error {
	if err := fetches.Err0(); len(fetches) == 0 || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
	}
	return nil
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
	for _, b := range work {
		recs = append(append(recs, b.p.out.verdicts...), b.p.out.letters...)
		bans = append(bans, b.p.out.bans...)
	}
	if len(bans) == 0 {
		return s.producer.Send(ctx, recs)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.producer.Send(ctx, recs) })
	g.Go(func() error { return s.bans.Publish(ctx, bans) })
	return g.Wait()
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
			last = append(last, r)
			b.p.lag.finished(r)
			m.Records.WithLabelValues(r.Topic).Add(float64(n))
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
		if out.miskeyed > 0 && !s.strayed.Swap(true) {
			s.log.Warn("records are not keyed by their subject: its events may lie in several partitions and rules can miss it (said once, counted as apiwarden_consumer_miskeyed_records_total)",
				zap.String("topic", out.stray.Topic), zap.Int32("partition", out.stray.Partition), zap.Int64("offset", out.stray.Offset),
				zap.ByteString("key", out.stray.Key[:min(len(out.stray.Key), 64)]), zap.String("subject", out.belongs))
		}
		m.engine(b.p, b.p.engine.Stats())
		out.reset()
	}
	s.cl.MarkCommitRecords(last...)
}

// skipBatch dead-letters a batch that is too large to be unpacked.
func (s *session) skipBatch(work []batch, skip *kgo.ErrDecompressTooLarge) []batch {
	p := s.owned[topicPartition{skip.Topic, skip.Partition}]
	if p == nil {
		return work
	}
	r := &kgo.Record{Topic: skip.Topic, Partition: skip.Partition, Offset: skip.Offset}
	p.out.letters = append(p.out.letters, sink.DeadLetter(s.cfg.Topics.DLQ, r, &schemas.BadRecord{
		Reason: schemas.ReasonTooLarge,
		Detail: fmt.Sprintf("the batch of offsets %d to %d unpacks to more than %d bytes and was not read", skip.Offset, skip.NextOffset-1, maxBatch),
	}))
	p.out.reasons = append(p.out.reasons, schemas.ReasonTooLarge)
	for _, b := range work {
		if b.p == p {
			return work
		}
	}
	return append(work, batch{p: p})
}

func (s *session) onCommit(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
	if err = commitError(resp, err); err != nil && !errors.Is(err, context.Canceled) && s.failed.Due() {
		s.log.Warn("offsets cannot be committed, trying again", zap.Error(err))
	}
}
