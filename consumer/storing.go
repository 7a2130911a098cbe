package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// storePoll bounds the records that come on top of a batch that is nearly full.
const storePoll = 16_384

// insertPatience is how long a rebalance waits for an insert that hangs.
const insertPatience = 5 * time.Second

// storing is store's membership in its group, with the rows that are not in
// ClickHouse yet: one batch on its way, and one that is being taken meanwhile. While
// there is either the group does not rebalance. Where it wants to, nothing more is
// taken and what is in hand is stored first; where ClickHouse keeps us waiting for
// longer than insertPatience, the group may rebalance all the same: the batches are kept,
// and of partitions that are ours no longer nothing is marked. Their new owner stores
// the same rows again, which are one row each under FINAL.
type storing struct {
	member
	store    *Store
	ch       *sink.ClickHouse
	producer *sink.Producer

	decoder *schemas.Decoder
	event   schemas.Event
	scratch []byte
	lags    map[topicPartition]*lag
	wanted  chan struct{} // the group waits for us
	asked   bool          // wanted has been heard
	taking  *rowBatch
	going   *shipment // nil: none
	spare   *rowBatch // nil where there is one going
	pace    pace
}

func newStoring(s *Store, lasting context.Context, ch *sink.ClickHouse, p *sink.Producer) *storing {
	return &storing{
		member: member{cfg: s.cfg, deps: s.deps, log: s.log, lasting: lasting},
		store:  s, ch: ch, producer: p,
		lags: make(map[topicPartition]*lag), wanted: make(chan struct{}, 1),
		taking: newRowBatch(ch), spare: newRowBatch(ch), pace: pace{log: s.log, rate: s.deps.Metrics.StoreCatchUp},
	}
}

// run is the loop; see session.run.
func (s *storing) run(ctx context.Context) (err error) {
	if s.decoder, err = schemas.NewDecoder(s.cfg.Input.decoderOptions()); err != nil {
		return err
	}
	err = s.join(ctx, s.store.Group(), []string{s.cfg.Topics.Logs, s.cfg.Topics.Verdicts, s.cfg.Topics.Control},
		kgo.OnPartitionsAssigned(s.onAssigned), kgo.OnPartitionsRevoked(s.onRevoked), kgo.OnPartitionsLost(s.onLost),
		kgo.OnPartitionsCallbackBlocked(func(context.Context, *kgo.Client) {
			select {
			case s.wanted <- struct{}{}:
			default:
			}
		}))
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer s.forget()
	defer s.leave()
	defer s.abandon()
	for ctx.Err() == nil {
		if err := s.turn(s.next(ctx)); err != nil {
			return err
		}
	}
	return s.flush()
}

// next polls until there are records, the batch is due, or the one on its way is stored.
func (s *storing) next(ctx context.Context) kgo.Fetches {
	if s.going != nil {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.going.over, cancel)()
		return s.poll(ctx, storePoll, pollWait)
	}
	d := pollWait
	if !s.taking.empty() {
		d = max(0, storeWait-time.Since(s.taking.since))
	}
	return s.poll(ctx, storePoll, d)
}

// turn takes one poll's records and stores what is due.
func (s *storing) turn(fetches kgo.Fetches) error {
	skips, err := s.fetchErrors(fetches)
	if err != nil {
		return err
	}
	taken := s.take(fetches)
	select {
	case <-s.wanted:
		s.asked = true
	default:
	}
	if s.going != nil && s.going.over.Err() != nil {
		if err := s.await(); err != nil {
			return err
		}
	}
	switch {
	case s.asked || len(skips) > 0:
		err = s.flush()
	case s.taking.full() && s.going != nil:
		if err = s.await(); err == nil {
			s.ship()
		}
	case s.going == nil && s.taking.due():
		s.ship()
	}
	if err != nil {
		return err
	}
	s.skip(skips)
	if !taken {
		s.breathe(fetches)
	}
	if s.going == nil && s.taking.empty() {
		s.asked = false
		s.cl.AllowRebalance()
	}
	return nil
}

// take makes rows of records; false where there were none.
func (s *storing) take(fetches kgo.Fetches) bool {
	taken := false
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		tp := topicPartition{f.Topic, f.Partition}
		l := s.lags[tp]
		if l == nil || len(f.Records) == 0 {
			return
		}
		if !s.inHand(tp) {
			l.polled(f.HighWatermark, f.Records[0])
		}
		l.high.Store(f.HighWatermark)
		for _, r := range f.Records {
			if !r.Attrs.IsControl() && !s.row(r) {
				s.deps.Metrics.StoreSkipped.Inc()
			}
		}
		taken = true
		s.taking.took(tp, f.Records)
	})
	return taken
}

func (s *storing) inHand(tp topicPartition) bool {
	return s.taking.last[tp] != nil || s.going != nil && s.going.last[tp] != nil
}

// row makes the row of a record; false where it has none.
func (s *storing) row(r *kgo.Record) bool {
	switch r.Topic {
	case s.cfg.Topics.Control:
		c, err := sink.DecodeControl(r)
		if err != nil {
			return false
		}
		s.taking.control(c, r)
		return true
	case s.cfg.Topics.Verdicts:
		var v schemas.Verdict
		if schemas.DecodeVerdict(r.Value, &v) != nil {
			return false
		}
		s.taking.verdict(v, r)
		return true
	}
	if s.decoder.Decode(r.Value, &s.event) != nil {
		return false
	}
	rules := s.store.rules.Load()
	if s.event.HasTime && s.event.Time-r.Timestamp.UnixMicro() > rules.MaxSkew() {
		return false // too far ahead: detect dead-letters it
	}
	id := rules.Identity()
	client, _ := id.Client(&s.event)
	s.scratch = appendSubject(s.scratch[:0], id.Network(client))
	subject := len(s.scratch)
	s.scratch = rules.Endpoint(s.scratch, &s.event)
	s.taking.event(&s.event, r, s.scratch[:subject], s.scratch[subject:])
	return true
}

// ship sends the batch that was taken on its way and begins another one.
func (s *storing) ship() {
	s.going = s.store.ship(s.lasting, s.ch, s.producer, s.taking)
	s.taking, s.spare = s.spare, nil
}

// flush returns nil once every row in hand is stored (or dead-lettered, where
// ClickHouse refuses it for ever) and its record is marked.
func (s *storing) flush() error {
	for s.going != nil || !s.taking.empty() {
		if s.going == nil {
			s.ship()
		}
		if err := s.await(); err != nil {
			return err
		}
	}
	return nil
}

// await returns nil once the batch on its way is stored and marked. Meanwhile the group
// may want to rebalance.
func (s *storing) await() error {
	var impatient <-chan time.Time
	if s.asked {
		impatient = time.After(insertPatience)
	}
	for {
		select {
		case <-s.going.over.Done():
			return s.arrived()
		case <-s.wanted:
			s.asked = true
			impatient = time.After(insertPatience)
		case <-impatient:
			impatient = nil
			if err := s.yield(); err != nil {
				return err
			}
		}
	}
}

// arrived marks what is stored and keeps its memory for the next batch.
func (s *storing) arrived() error {
	l := s.going
	if l.err != nil {
		return fmt.Errorf("storing %d events, %d verdicts and %d manual changes: %w", l.events.Len(), len(l.verdicts), len(l.controls), l.err)
	}
	marks := make([]*kgo.Record, 0, len(l.last))
	for tp, r := range l.last {
		marks = append(marks, r)
		s.lags[tp].finished(r)
	}
	s.cl.MarkCommitRecords(marks...)
	m := s.deps.Metrics
	n := 0
	for topic, count := range l.counts {
		m.StoreRecords.WithLabelValues(topic).Add(float64(count))
		n += count
	}
	m.DeadLetters.WithLabelValues(string(schemas.ReasonClickHouse)).Add(float64(len(l.letters)))
	s.pace.finished(n, s.lags)
	l.reset()
	s.spare, s.going = l.rowBatch, nil
	return nil
}

// yield gives the batch on its way up for a while, lets the group rebalance, and sends
// what is still ours on its way again. Where it arrives just now that is all.
func (s *storing) yield() error {
	l := s.going
	l.cancel(errWanted)
	<-l.over.Done()
	if l.err == nil || !errors.Is(l.err, errWanted) {
		return nil // await sees it
	}
	// Callbacks may run from here to the poll; they take what they revoke out of last.
	s.cl.AllowRebalance()
	select {
	case <-time.After(time.Second):
	case <-s.lasting.Done():
		return context.Cause(s.lasting)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	s.cl.PollRecords(done, 1) // takes nothing: a poll is what blocks rebalances
	s.asked = false
	s.going = s.store.ship(s.lasting, s.ch, s.producer, l.rowBatch)
	return nil
}

// abandon ends what is still on its way when the loop ends with an error.
func (s *storing) abandon() {
	if s.going != nil {
		s.going.cancel(nil)
		<-s.going.over.Done()
	}
}

func (s *storing) onAssigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	for topic, partitions := range added {
		for _, n := range partitions {
			if tp := (topicPartition{topic, n}); s.lags[tp] == nil {
				s.lags[tp] = s.deps.Metrics.StoreLag.add(tp)
			}
		}
	}
	s.store.assigned.Store(true)
}

func (s *storing) onRevoked(_ context.Context, cl *kgo.Client, gone map[string][]int32) {
	s.commitRevoked(cl)
	s.drop(gone)
}

func (s *storing) onLost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.drop(gone)
	s.store.assigned.Store(false)
}

func (s *storing) drop(gone map[string][]int32) {
	for topic, partitions := range gone {
		for _, n := range partitions {
			tp := topicPartition{topic, n}
			delete(s.lags, tp)
			delete(s.taking.last, tp)
			if s.going != nil {
				delete(s.going.last, tp)
			}
			s.deps.Metrics.StoreLag.remove(tp)
		}
	}
}

func (s *storing) forget() {
	for tp := range s.lags {
		s.deps.Metrics.StoreLag.remove(tp)
	}
}
