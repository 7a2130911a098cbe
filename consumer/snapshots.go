package consumer

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/sink"
)

const (
	// pauseBudget is what copies may take of a turn. A shard that takes longer is copied in
	// several turns.
	pauseBudget = 2 * time.Millisecond
	// copyStep is how many slots are copied between two looks at the clock: 0.2 ms.
	copyStep = 2048
	// writers is how many pieces are written at a time: an acknowledgement takes much
	// longer than the rest.
	writers = 4
	// copiesInHand bounds the copies that wait to be written, and their memory.
	copiesInHand = 16
)

// errand is a piece that is on its way to the state topic.
type errand struct {
	p     *partition
	piece sink.StatePiece
	parts int
	copy  *detector.ShardCopy // of a shard; nil: journal
	next  *journal
	at    time.Time // when it was copied

	written sink.WrittenPiece
	encoded int
	err     error
}

// write runs in goroutines that encode, pack and write what the loop has copied, so
// that the loop never waits for it.
func (s *session) write(ctx context.Context) {
	var encoded []byte
	for e := range s.errands {
		if e.copy != nil {
			encoded = e.copy.Append(encoded[:0])
			e.piece.Data = encoded
		}
		e.encoded = len(e.piece.Data)
		e.written, e.err = s.state.Write(ctx, e.p.tp.partition, e.piece, e.parts)
		e.piece.Data = nil
		s.landed <- e // has room for all that are under way
		if s.waiting.Load() {
			s.wake.ring()
		}
	}
}

// send puts an errand on its way, false where too many are.
func (s *session) send(e errand) bool {
	if s.underway == copiesInHand {
		return false
	}
	s.underway++
	s.errands <- e // has room for all that may be under way
	return true
}

// land takes the result of an errand.
func (s *session) land(e errand) {
	s.underway--
	if e.copy != nil {
		s.copies = append(s.copies, e.copy)
	}
	ours := s.owned[e.p.tp] == e.p
	m := s.deps.Metrics
	if e.err != nil {
		m.SnapshotFailures.Inc()
		if s.failed.Due() {
			s.log.Warn("a snapshot was not written: a restore will read more of the log", zap.Error(e.err))
		}
		if sink.IsPermanent(e.err) && s.broken == nil {
			s.broken = e.err
		}
	}
	switch {
	case e.next != nil:
		e.p.kept.flying = false
		if ours && e.err == nil {
			s.wrote(e.p, e.next, e.piece.Slot, e.written)
		}
	case ours:
		e.p.rotation.shards[e.piece.Shard].flying = false
		if e.err != nil {
			e.p.rotation.shards[e.piece.Shard].heavy = true // whatever its slot holds now
			return
		}
		e.p.rotation.landed(&e.piece, e.written, e.encoded, e.at)
		kind := "changes"
		if e.piece.Base == 0 {
			kind = "whole"
		}
		m.Snapshots.WithLabelValues(kind).Inc()
		m.StateBytesWritten.Add(float64(e.written.Bytes))
	}
}

// collectLanded takes what has been written since the last turn.
func (s *session) collectLanded() {
	for {
		select {
		case e := <-s.landed:
			s.land(e)
		default:
			return
		}
	}
}

// snapshot copies the shards that are due, at the end of a turn: everything that came
// of the records before p.next is acknowledged. It holds the loop up no longer than
// pauseBudget. It also has journals written again once in an interval.
func (s *session) snapshot() error {
	s.collectLanded()
	if s.broken != nil {
		return s.broken
	}
	began := time.Now()
	copied, left := false, true
	for _, p := range s.owned {
		if p.replay != nil {
			continue
		}
		s.rewrite(p, began)
		for left && s.nextCopy(p, began) {
			copied = true
			for left && !s.goOnCopying(p, copyStep) {
				left = time.Since(began) < pauseBudget
			}
			left = time.Since(began) < pauseBudget
		}
		p.rotation.catchUp(began)
	}
	if copied {
		s.deps.Metrics.SnapshotPause.Observe(time.Since(began).Seconds())
	}
	if !left {
		s.wake.ring() // what is left is not for when records come
	}
	s.waiting.Store(s.underway == copiesInHand)
	s.showAge(began)
	return nil
}

// nextCopy reports whether a shard of the partition is being copied, or begins with
// the next that is due.
func (s *session) nextCopy(p *partition, now time.Time) bool {
	for p.copying == nil && s.underway < copiesInHand && p.rotation.due(now) > 0 {
		if shard := p.rotation.pass(); p.rotation.dirty(shard, p.next) {
			s.beginCopy(p, shard)
		}
	}
	return p.copying != nil && s.underway < copiesInHand
}

// beginCopy begins the copy of a shard.
func (s *session) beginCopy(p *partition, shard int) {
	c := new(detector.ShardCopy)
	if n := len(s.copies); n > 0 {
		c, s.copies = s.copies[n-1], s.copies[:n-1]
	}
	whole, piece, parts := p.rotation.plan(shard)
	p.engine.BeginCopy(shard, p.next, whole, c)
	if h := c.Header(); h.Whole() && !whole { // the engine could not tell what has changed
		p.rotation.shards[shard].heavy = true
		_, piece, parts = p.rotation.plan(shard)
	}
	p.rotation.shards[shard].flying = true
	piece.Next, piece.Entry, piece.Log, piece.From = p.next, p.journal.last().ID, p.topicID, p.rotation.from(p.kept.first)
	p.copying = &errand{p: p, piece: piece, parts: parts, copy: c, at: time.Now()}
}

// goOnCopying copies so many slots more of the partition's shard that is being copied,
// and reports whether that was the last of it. A finished copy is on its way to the
// state topic then.
func (s *session) goOnCopying(p *partition, slots int) bool {
	e := p.copying
	shard := e.piece.Shard
	if !p.engine.GoOnCopying(shard, slots) {
		return false
	}
	p.copying = nil
	if !e.copy.Made() || !s.send(*e) { // other rules hold since it was begun
		p.rotation.shards[shard].flying = false
		s.copies = append(s.copies, e.copy)
	}
	return true
}

// rewrite has the journal written again, once in an interval: so it never lies far
// behind the snapshots, and whatever a stalled owner wrote over it is put right.
func (s *session) rewrite(p *partition, now time.Time) {
	if p.kept.flying || now.Sub(p.kept.at) < time.Duration(s.cfg.State.Interval) {
		return
	}
	s.sendJournal(p, s.amended(p, nil), now)
}

// close writes into the journal of a partition that no record is judged any more.
// Where there is no time for that, it looks like a crash to whoever takes over.
func (s *session) close(p *partition) {
	next, at := s.amended(p, nil), max(p.next, p.hold)
	next.Closed = &at
	s.sendJournal(p, next, time.Now())
}

// sendJournal puts the writing of a journal on its way, where there is room for it.
func (s *session) sendJournal(p *partition, next *journal, now time.Time) {
	piece := s.journalPiece(p, next)
	p.kept.flying = s.send(errand{p: p, piece: piece, parts: p.kept.parts[piece.Slot], next: next, at: now})
}

// flush writes what has changed since it was last copied, while partitions are still
// ours, so that whoever takes them over has little to read again, and where we stopped.
// No record of them is judged afterwards. It gives up after a third of the time for a stop.
func (s *session) flush(going map[topicPartition]*partition) {
	ctx, cancel := context.WithTimeout(s.lasting, time.Duration(s.cfg.ShutdownTimeout)/3)
	defer cancel()
	for s.underway > 0 { // a shard that is being written may have changed since
		if !s.awaitLanded(ctx) {
			return
		}
	}
	for _, p := range going {
		if p.replay != nil {
			continue
		}
		if s.underway == copiesInHand && !s.awaitLanded(ctx) {
			return
		}
		s.close(p)
		if p.copying != nil { // of an earlier offset
			p.rotation.shards[p.copying.piece.Shard].flying = false
			p.copying = nil
		}
		for shard := range p.rotation.shards {
			if s.underway == copiesInHand && !s.awaitLanded(ctx) {
				return
			}
			if p.rotation.dirty(shard, p.next) {
				s.beginCopy(p, shard)
				for !s.goOnCopying(p, 1<<20) {
				}
			}
		}
	}
	for s.underway > 0 {
		if !s.awaitLanded(ctx) {
			return
		}
	}
}

// awaitLanded waits for the result of one errand.
func (s *session) awaitLanded(ctx context.Context) bool {
	select {
	case e := <-s.landed:
		s.land(e)
		return true
	case <-ctx.Done():
		s.log.Warn("there was no time to write all snapshots: whoever takes over reads more of the log")
		return false
	}
}

// showAge brings the metric of the oldest snapshot in line.
func (s *session) showAge(now time.Time) {
	if now.Sub(s.aged) < time.Second {
		return
	}
	s.aged = now
	oldest := now
	for _, p := range s.owned {
		if p.replay == nil {
			oldest = p.rotation.oldest(p.next, oldest)
		}
	}
	s.deps.Metrics.SnapshotAge.Set(now.Sub(oldest).Seconds())
}
