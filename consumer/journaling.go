package consumer

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// journalPieces is where the journal of a partition stands.
type journalPieces struct {
	first  int64 // offset on the state topic of the newest; -1: there is none
	parts  [journalSlots]int
	flying bool      // it is being written again
	at     time.Time // when it was written
}

// controlsKept is how long manual changes that have ended stay in a journal.
const controlsKept = 7 * 24 * time.Hour

// settle makes a partition live that has reached the end of what its journal decides:
// from here on, or from where no former owner has been, the rules and bounds of this
// process hold, which the journal says before the next record is judged. What the partition enforces is on the ban topic on
// return.
func (s *session) settle(ctx context.Context, p *partition) error {
	r := p.replay
	if p.journal == nil {
		if err := s.begin(p); err != nil {
			return err
		}
	} else {
		r.advance(p, r.end)
		_, generation := s.cl.GroupMetadata()
		p.journal.Generation = max(p.journal.Generation+1, uint64(max(0, generation)))
	}
	if p.journal.Shards != s.cfg.State.Shards && !s.detect.resharded.Swap(true) {
		s.log.Warn("state.shards differs from what the stored state was split into: it takes effect for new partitions only (said once)",
			zap.String("topic", p.tp.topic), zap.Int32("partition", p.tp.partition), zap.Int("stored", p.journal.Shards), zap.Int("state.shards", s.cfg.State.Shards))
	}
	if err := s.record(ctx, p, s.changes(p)...); err != nil {
		return err
	}
	if p.rotation == nil {
		p.rotation = newRotation(p.journal.pieces(), time.Duration(s.cfg.State.Interval), p.kept.first, time.Now())
	}
	p.replay, p.heard = nil, time.Now()
	s.deps.Metrics.engine(p, p.engine.Stats())
	s.deps.Metrics.Restore.Set(time.Since(r.began).Seconds())
	r.log.Info("partition is live", zap.Int64("offset", p.next), zap.Duration("took", time.Since(r.began)))
	if err := s.bans.Enforce(ctx, p.tp.partition, p.engine.Shown()); err != nil {
		return fmt.Errorf("bringing the ban topic in line with %s/%d: %w", p.tp.topic, p.tp.partition, err)
	}
	if p.uncommitted.Offset > 0 {
		s.cl.MarkCommitOffsets(map[string]map[int32]kgo.EpochOffset{p.tp.topic: {p.tp.partition: p.uncommitted}})
	}
	return nil
}

// begin makes the engine and the journal of a partition of which nothing is stored.
func (s *session) begin(p *partition) error {
	var seed [16]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return fmt.Errorf("making a seed: %w", err)
	}
	_, generation := s.cl.GroupMetadata()
	j := &journal{
		Generation: uint64(max(1, generation)), Shards: s.cfg.State.Shards, Rules: make(map[string]detector.Source),
		Seed: [2]uint64{binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])},
	}
	e := s.entry(p, entryBegin)
	b := s.bound(j.Shards)
	e.Generation, e.Rules, e.Bound = j.Generation, s.rules.program.Hash(), &b
	j.Entries = []entry{e}
	j.Rules[e.Rules] = s.rules.program.Source()
	p.journal = j
	p.rules, p.engine = s.rules, newEngine(p.tp, j, s.rules.program, b)
	p.engine.Begin(p.next)
	return nil
}

// entry gives a new entry of a partition's journal, which holds from its next record on.
func (s *session) entry(p *partition, kind entryKind) entry {
	e := entry{ID: newID(), Offset: p.next, Kind: kind, At: schemas.Micros(time.Now().UnixMicro())}
	if p.journal != nil {
		e.Generation = p.journal.Generation
	}
	return e
}

// newID gives a number that no other entry has, of whatever owner.
func newID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// bound is what a shard of a partition may hold, of what the group may.
func (s *session) bound(shards int) bound { return s.cfg.State.bound(s.inputs.Load(), shards) }

// changes are the entries that bring a partition in line with this process; none where
// that has to wait.
func (s *session) changes(p *partition) []entry {
	if p.next < p.hold {
		return nil
	}
	var add []entry
	rules, have := p.journal.inForce(len(p.journal.Entries))
	if want := s.rules.program.Hash(); rules != want || p.rules.program != s.rules.program {
		e := s.entry(p, entryRules)
		e.Rules = want
		add = append(add, e)
	}
	if want := s.bound(p.journal.Shards); want != have {
		e := s.entry(p, entryBound)
		e.Bound = &want
		add = append(add, e)
	}
	if p.said != s.detect.said.count() || p.replay != nil {
		// A journal that was just begun knows no change, and wants none that is over.
		add = append(add, s.saidEntries(p, len(p.journal.Entries) == 1 && p.journal.Controls == nil)...)
	}
	return add
}

// align brings the partitions that are live in line with this process where its
// rules or bounds have changed, as bounds do when the topic gets more partitions, or
// where somebody has banned, pardoned or exempted by hand.
func (s *session) align(ctx context.Context) error {
	for _, p := range s.owned {
		if p.replay != nil {
			continue
		}
		if add := s.changes(p); len(add) > 0 {
			if err := s.record(ctx, p, add...); err != nil {
				return err
			}
		}
	}
	return nil
}

// record writes entries to a partition's journal and has them take effect once they
// are acknowledged. It also writes the journal where there is nothing to add: whoever
// reads it then knows who owns the partition.
func (s *session) record(ctx context.Context, p *partition, add ...entry) error {
	for p.kept.flying { // an older writing must not be the last one in its slot
		select {
		case l := <-s.landed:
			s.land(l)
		case <-ctx.Done():
			return fmt.Errorf("writing the journal of %s/%d: %w", p.tp.topic, p.tp.partition, context.Cause(ctx))
		}
	}
	next := s.amended(p, add)
	piece := s.journalPiece(p, next)
	w, err := s.state.Write(ctx, p.tp.partition, piece, p.kept.parts[piece.Slot])
	if err != nil {
		return fmt.Errorf("writing the journal of %s/%d: %w", p.tp.topic, p.tp.partition, err)
	}
	s.wrote(p, next, piece.Slot, w)
	for i := range add {
		s.enact(p, &add[i])
	}
	return nil
}

// enact has an entry take effect that is acknowledged.
func (s *session) enact(p *partition, e *entry) {
	if p.rotation != nil && e.Kind != entryControl {
		p.rotation.renew()
	}
	switch e.Kind {
	case entryRules:
		p.rules = s.rules
		p.engine.Adopt(e.Offset, s.rules.program)
	case entryBound:
		p.engine.Bound(e.Bound.Bytes, e.Bound.Endpoints)
	case entryControl:
		p.engine.Control(e.Offset, e.Control.control())
	case entryBegin: // the engine was made with it
	}
}

// amended gives the journal with entries added, and what no record needs forgotten.
func (s *session) amended(p *partition, add []entry) *journal {
	next := *p.journal
	next.Sequence++
	next.Closed = nil
	next.Entries = append(slices.Clone(p.journal.Entries), add...)
	next.Rules = maps.Clone(p.journal.Rules)
	for _, e := range add {
		if e.Rules != "" {
			next.Rules[e.Rules] = s.rules.program.Source()
		}
	}
	if p.rotation != nil {
		next.fold(min(p.start, p.rotation.reach()), schemas.Micros(time.Now().Add(-controlsKept).UnixMicro()))
	}
	return &next
}

func (s *session) journalPiece(p *partition, j *journal) sink.StatePiece {
	piece := sink.StatePiece{
		StateSlot: sink.StateSlot{Shard: sink.JournalShard, Slot: j.slot()},
		Next:      p.next, Entry: j.last().ID, Log: p.topicID, Data: j.encode(),
	}
	if p.rotation != nil {
		piece.From = p.rotation.from(p.kept.first)
	} else {
		piece.From = max(0, p.kept.first)
	}
	return piece
}

// wrote takes a journal that is acknowledged.
func (s *session) wrote(p *partition, j *journal, slot int, w sink.WrittenPiece) {
	p.journal = j
	p.kept.first, p.kept.parts[slot], p.kept.at = w.First, w.Parts, time.Now()
	s.deps.Metrics.StateBytesWritten.Add(float64(w.Bytes))
}
