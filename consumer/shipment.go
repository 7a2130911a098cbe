package consumer

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// shipment is a batch of rows that a goroutine of its own stores. Until over is done, its rows
// belong to that goroutine; last and counts stay the loop's.
type shipment struct {
	*rowBatch
	cancel  context.CancelCauseFunc // gives up, for a reason
	over    context.Context         // done when it is stored, or given up
	letters []*kgo.Record           // of rows that ClickHouse refuses for ever
	err     error                   // once over; nil: every row is stored or dead-lettered
}

// errWanted is the cause of an insert that is given up because the group wants to
// rebalance.
var errWanted = errors.New("the group wants to rebalance")

// ship stores a batch for as long as ctx lives. Whoever calls waits for over.
func (s *Store) ship(ctx context.Context, ch *sink.ClickHouse, p *sink.Producer, b *rowBatch) *shipment {
	ctx, cancel := context.WithCancelCause(ctx)
	over, done := context.WithCancel(context.Background())
	out := &shipment{rowBatch: b, cancel: cancel, over: over}
	go func() {
		defer done()
		defer cancel(nil)
		out.letters, out.err = s.insert(ctx, ch, b)
		if out.err == nil {
			out.err = p.Send(ctx, out.letters)
		}
	}()
	return out
}

// insert returns once every row is stored, but for those that the dead letters are of.
func (s *Store) insert(ctx context.Context, ch *sink.ClickHouse, b *rowBatch) ([]*kgo.Record, error) {
	var events, verdicts, controls error
	var all sync.WaitGroup
	all.Go(func() { events = ch.InsertEvents(ctx, b.events) })
	all.Go(func() { verdicts = ch.InsertVerdicts(ctx, b.verdicts) })
	all.Go(func() { controls = ch.InsertControls(ctx, b.controls) })
	all.Wait()
	letters, eventErr := s.refused(nil, events, b.eventsOf)
	letters, verdictErr := s.refused(letters, verdicts, b.ofRecord)
	letters, controlErr := s.refused(letters, controls, b.saidOn)
	return letters, errors.Join(eventErr, verdictErr, controlErr)
}

// refused adds the dead letters of rows that cannot be stored.
func (s *Store) refused(letters []*kgo.Record, err error, of []*kgo.Record) ([]*kgo.Record, error) {
	bad, ok := errors.AsType[sink.BadRows](err)
	if !ok {
		return letters, err
	}
	for _, row := range bad {
		letters = append(letters, sink.DeadLetter(s.cfg.Topics.DLQ, of[row.Index], &schemas.BadRecord{Reason: schemas.ReasonClickHouse, Detail: row.Err.Error()}))
	}
	return letters, nil
}
