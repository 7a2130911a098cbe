package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// Rows are inserted when there are this many, when they take this much memory, or
// when the first has waited this long.
const (
	storeRows  = 50_000
	storeBytes = 32 << 20
	storeWait  = time.Second
	// storePoll bounds the records that come on top of a batch that is nearly full.
	storePoll = 16_384
)

// insertPatience is how long a rebalance waits for an insert that hangs.
const insertPatience = 5 * time.Second

// storing is store's membership in its group, with the rows that are not in
// ClickHouse yet. From the first poll of a batch until it is inserted and marked the
// group does not rebalance; where ClickHouse keeps us waiting and the group wants to,
// it may: the batch is kept, and of partitions that are ours no longer nothing is
// marked. Their new owner stores the same rows again, which are one row each under FINAL.
type storing struct {
	member
	store    *Store
	ch       *sink.ClickHouse
	producer *sink.Producer

	decoder  *schemas.Decoder
	event    schemas.Event
	scratch  []byte
	lags     map[topicPartition]*lag
	wanted   chan struct{} // the group waits for us
	events   *sink.EventBatch
	eventsOf []*kgo.Record // by row
	verdicts []schemas.Verdict
	ofRecord []*kgo.Record // of verdicts, by index
	controls []sink.ControlRecord
	saidOn   []*kgo.Record // of controls, by index
	last     map[topicPartition]*kgo.Record
	counts   map[string]int // records in hand, by topic
	bytes    int            // of the records that are held for their rows
	since    time.Time      // the first of them was taken
}

func newStoring(s *Store, lasting context.Context, ch *sink.ClickHouse, p *sink.Producer) *storing {
	return &storing{
		member: member{cfg: s.cfg, deps: s.deps, log: s.log, lasting: lasting},
		store:  s, ch: ch, producer: p,
		lags: make(map[topicPartition]*lag), wanted: make(chan struct{}, 1), events: ch.NewEventBatch(),
		last: make(map[topicPartition]*kgo.Record), counts: make(map[string]int),
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
	for ctx.Err() == nil {
		d := pollWait
		if len(s.last) > 0 {
			d = max(0, storeWait-time.Since(s.since))
		}
		if err := s.turn(s.poll(ctx, storePoll, d)); err != nil {
			return err
		}
	}
	return s.flush(s.lasting)
}

// turn takes one poll's records and stores what is due.
func (s *storing) turn(fetches kgo.Fetches) error {
	skips, err := s.fetchErrors(fetches)
	if err != nil {
		return err
	}
	taken := s.take(fetches)
	if len(skips) > 0 {
		if err := s.flush(s.lasting); err != nil {
			return err
		}
		s.skip(skips)
	}
	if len(s.last) == 0 {
		s.breathe(fetches)
		s.cl.AllowRebalance()
		return nil
	}
	if taken && !s.full() && time.Since(s.since) < storeWait && len(s.wanted) == 0 {
		return nil
	}
	if err := s.flush(s.lasting); err != nil {
		return err
	}
	s.cl.AllowRebalance()
	return nil
}

func (s *storing) full() bool {
	return s.events.Len()+len(s.verdicts)+len(s.controls) >= storeRows || s.events.Bytes()+s.bytes >= storeBytes
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
		if len(s.last) == 0 {
			s.since = time.Now()
		}
		if s.last[tp] == nil {
			l.polled(f.HighWatermark, f.Records[0])
		}
		l.high.Store(f.HighWatermark)
		for _, r := range f.Records {
			if !r.Attrs.IsControl() && !s.row(r) {
				s.deps.Metrics.StoreSkipped.Inc()
			}
		}
		taken = true
		s.last[tp] = f.Records[len(f.Records)-1]
		s.counts[f.Topic] += len(f.Records)
	})
	return taken
}

// row makes the row of a record; false where it has none.
func (s *storing) row(r *kgo.Record) bool {
	switch r.Topic {
	case s.cfg.Topics.Control:
		c, err := sink.DecodeControl(r)
		if err != nil {
			return false
		}
		s.controls = append(s.controls, c)
		s.saidOn = append(s.saidOn, r)
		s.bytes += 2 * len(r.Value)
		return true
	case s.cfg.Topics.Verdicts:
		var v schemas.Verdict
		if schemas.DecodeVerdict(r.Value, &v) != nil {
			return false
		}
		s.verdicts = append(s.verdicts, v)
		s.ofRecord = append(s.ofRecord, r)
		s.bytes += 2 * len(r.Value)
		return true
	}
	if s.decoder.Decode(r.Value, &s.event) != nil {
		return false
	}
	rules, stamp := s.store.rules.Load(), r.Timestamp.UnixMicro()
	if s.event.HasTime && s.event.Time-stamp > rules.MaxSkew() {
		return false // too far ahead: detect dead-letters it
	}
	id := rules.Identity()
	client, _ := id.Client(&s.event)
	s.scratch = appendSubject(s.scratch[:0], id.Network(client))
	subject := len(s.scratch)
	s.scratch = rules.Endpoint(s.scratch, &s.event)
	at := schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	s.events.Add(&s.event, at, stamp, s.scratch[:subject], s.scratch[subject:])
	s.eventsOf = append(s.eventsOf, r)
	s.bytes += len(r.Value)
	return true
}

// flush returns nil once every row in hand is stored (or dead-lettered, where
// ClickHouse refuses it for ever) and its record is marked.
func (s *storing) flush(ctx context.Context) error {
	if len(s.last) == 0 {
		return nil
	}
	for {
		letters, err := s.insert(ctx)
		if errors.Is(err, errWanted) {
			// Callbacks may run from here to hold; they take what they revoke out of last.
			s.cl.AllowRebalance()
			if err := s.hold(ctx); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			err = s.producer.Send(ctx, letters)
		}
		if err != nil {
			return fmt.Errorf("storing %d events, %d verdicts and %d manual changes: %w", s.events.Len(), len(s.verdicts), len(s.controls), err)
		}
		s.finish(len(letters))
		return nil
	}
}

// errWanted is the cause of an insert that is given up because the group wants to
// rebalance.
var errWanted = errors.New("the group wants to rebalance")

// hold waits a little and keeps the group from rebalancing again.
func (s *storing) hold(ctx context.Context) error {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	s.cl.PollRecords(done, 1) // takes nothing: a poll is what blocks rebalances
	return nil
}

// insert makes one attempt for as long as the group can wait, and gives dead letters
// for rows that ClickHouse refuses.
func (s *storing) insert(ctx context.Context) ([]*kgo.Record, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	impatient := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-s.wanted:
		case <-impatient:
			return
		}
		select {
		case <-time.After(insertPatience):
			cancel(errWanted)
		case <-impatient:
		}
	}()
	var events, verdicts, controls error
	var wg sync.WaitGroup
	wg.Go(func() { events = hopeless(s.ch.InsertEvents(ctx, s.events), cancel) })
	wg.Go(func() { verdicts = hopeless(s.ch.InsertVerdicts(ctx, s.verdicts), cancel) })
	wg.Go(func() { controls = hopeless(s.ch.InsertControls(ctx, s.controls), cancel) })
	wg.Wait()
	close(impatient)
	<-watched
	letters, eventErr := s.refused(nil, events, s.eventsOf)
	letters, verdictErr := s.refused(letters, verdicts, s.ofRecord)
	letters, controlErr := s.refused(letters, controls, s.saidOn)
	err := errors.Join(eventErr, verdictErr, controlErr)
	if err != nil && !sink.IsPermanent(err) && errors.Is(context.Cause(ctx), errWanted) {
		err = errWanted
	}
	return letters, err
}

// hopeless ends the other inserts where this one cannot succeed.
func hopeless(err error, cancel context.CancelCauseFunc) error {
	if sink.IsPermanent(err) {
		cancel(err)
	}
	return err
}

// refused adds the dead letters of rows that cannot be stored.
func (s *storing) refused(letters []*kgo.Record, err error, of []*kgo.Record) ([]*kgo.Record, error) {
	bad, ok := errors.AsType[sink.BadRows](err)
	if !ok {
		return letters, err
	}
	for _, row := range bad {
		letters = append(letters, sink.DeadLetter(s.cfg.Topics.DLQ, of[row.Index], &schemas.BadRecord{Reason: schemas.ReasonClickHouse, Detail: row.Err.Error()}))
	}
	return letters, nil
}

// finish marks what is stored and empties the hands.
func (s *storing) finish(letters int) {
	marks := make([]*kgo.Record, 0, len(s.last))
	for tp, r := range s.last {
		marks = append(marks, r)
		s.lags[tp].finished(r)
	}
	s.cl.MarkCommitRecords(marks...)
	m := s.deps.Metrics
	for topic, n := range s.counts {
		m.StoreRecords.WithLabelValues(topic).Add(float64(n))
	}
	m.DeadLetters.WithLabelValues(string(schemas.ReasonClickHouse)).Add(float64(letters))
	s.events.Reset()
	clear(s.eventsOf)
	clear(s.verdicts)
	clear(s.ofRecord)
	clear(s.controls)
	clear(s.saidOn)
	clear(s.last)
	clear(s.counts)
	s.eventsOf, s.verdicts, s.ofRecord, s.bytes = s.eventsOf[:0], s.verdicts[:0], s.ofRecord[:0], 0
	s.controls, s.saidOn = s.controls[:0], s.saidOn[:0]
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
			delete(s.last, tp)
			s.deps.Metrics.StoreLag.remove(tp)
		}
	}
}

func (s *storing) forget() {
	for tp := range s.lags {
		s.deps.Metrics.StoreLag.remove(tp)
	}
}
