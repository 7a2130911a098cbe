package consumer

import (
	"time"

	"github.com/apiwarden/apiwarden/sink"
)

const (
	// wholeEvery is after how many copies of changes a shard is copied whole again.
	wholeEvery = 100
	wholeSlots = 2 // slots 0 and 1; those of changes follow
)

// rotation is where the snapshots of a partition's shards stand and which of them are
// due: each once in an interval, spread evenly over it.
type rotation struct {
	interval time.Duration
	wholes   bool // all copies are whole
	shards   []shardPieces
	floor    int64     // no piece that is still to be written lies at a smaller offset of the state topic
	hand     int       // the shard that is looked at next
	step     time.Time // when the hand moved last
}

// shardPieces is where the snapshots of a shard stand.
type shardPieces struct {
	whole   storedCopy // ID 0: none
	changes storedCopy // to whole; ID 0: none
	parts   [2 * wholeSlots]int
	next    int64     // the first offset that the newest one does not contain; -1: there is none
	at      time.Time // when it was taken
	copies  int       // of changes, since whole
	heavy   bool      // the next copy has to be whole
	renewed bool      // other rules or bounds hold since the copy that is on its way
	flying  bool      // a copy is on its way
	touched bool      // it has changed since it was last copied, though no record was judged
}

// storedCopy is a piece that is acknowledged.
type storedCopy struct {
	id    uint64
	slot  int
	first int64 // offset on the state topic
	bytes int   // encoded
}

// newRotation has every shard due within an interval from now.
func newRotation(shards int, interval time.Duration, floor int64, now time.Time) *rotation {
	r := &rotation{interval: interval, shards: make([]shardPieces, shards), floor: floor, step: now}
	for i := range r.shards {
		r.shards[i] = shardPieces{next: -1, at: now, heavy: true}
	}
	return r
}

// found takes where the pieces of a shard stand that it was restored from. The first
// copy that we make is whole: changes are to a copy that this process has made.
func (r *rotation) found(shard int, whole, changes *sink.StoredPiece, stored []*sink.StoredPiece) {
	s := &r.shards[shard]
	s.whole = storedCopy{id: whole.ID, slot: whole.Slot, first: whole.First}
	if changes != nil {
		s.changes = storedCopy{id: changes.ID, slot: changes.Slot, first: changes.First}
	}
	for _, piece := range stored {
		if piece.Shard == shard && piece.Slot < len(s.parts) {
			s.parts[piece.Slot] = piece.Parts
		}
	}
}

// due is how many shards the hand should have passed by now, since it moved last.
func (r *rotation) due(now time.Time) int {
	n := int(now.Sub(r.step) * time.Duration(len(r.shards)) / r.interval)
	return min(n, len(r.shards))
}

// pass moves the hand on and gives the shard that it stood at.
func (r *rotation) pass() int {
	i := r.hand
	r.hand = (r.hand + 1) % len(r.shards)
	r.step = r.step.Add(r.interval / time.Duration(len(r.shards)))
	return i
}

// catchUp forgets steps that are overdue by more than a round.
func (r *rotation) catchUp(now time.Time) {
	if now.Sub(r.step) > r.interval {
		r.step = now.Add(-r.interval)
	}
}

// dirty reports whether a shard has changed since its newest snapshot and may be
// copied now; next is the partition's first offset that is not finished.
func (r *rotation) dirty(shard int, next int64) bool {
	s := &r.shards[shard]
	return !s.flying && (s.next != next || s.touched)
}

// plan says how a shard is copied: all of it, or what has changed, and into which slot.
func (r *rotation) plan(shard int) (whole bool, piece sink.StatePiece, parts int) {
	s := &r.shards[shard]
	s.touched = false
	whole = r.wholes || s.heavy || s.copies >= wholeEvery || s.whole.id == 0
	slot := 1 - s.whole.slot
	if !whole {
		slot = wholeSlots + 1 - max(0, s.changes.slot-wholeSlots)
		piece.Base = s.whole.id
	}
	piece.StateSlot = sink.StateSlot{Shard: shard, Slot: slot}
	return whole, piece, s.parts[slot]
}

// from is the smallest offset of the state topic at which something lies that is
// still needed; journal is that of the journal, -1 where there is none.
func (r *rotation) from(journal int64) int64 {
	from := journal
	if from < 0 {
		from = r.floor
	}
	for i := range r.shards {
		s := &r.shards[i]
		switch {
		case s.whole.id != 0:
			from = min(from, s.whole.first)
		case s.flying:
			from = min(from, r.floor)
		}
		if s.changes.id != 0 {
			from = min(from, s.changes.first)
		}
	}
	return from
}

// landed takes what is acknowledged of a piece: encoded bytes of a copy at time at.
func (r *rotation) landed(piece *sink.StatePiece, w sink.WrittenPiece, encoded int, at time.Time) {
	s := &r.shards[piece.Shard]
	c := storedCopy{id: w.ID, slot: piece.Slot, first: w.First, bytes: encoded}
	s.parts[piece.Slot] = w.Parts
	s.next, s.at = piece.Next, at
	renewed := s.renewed
	s.renewed = false
	if piece.Base == 0 {
		s.whole, s.changes, s.copies, s.heavy = c, storedCopy{slot: s.changes.slot}, 0, renewed
		return
	}
	s.changes = c
	s.copies++
	s.heavy = s.heavy || encoded > s.whole.bytes/2
}

// renew has all shards copied whole next: changes are never to a copy of other rules.
func (r *rotation) renew() {
	for i := range r.shards {
		r.shards[i].heavy, r.shards[i].renewed = true, r.shards[i].flying
	}
}

// reach is the smallest offset of the input at which a snapshot in use was taken; 0
// while a shard has none.
func (r *rotation) reach() int64 {
	reach := int64(1<<63 - 1)
	for i := range r.shards {
		reach = min(reach, max(0, r.shards[i].next))
	}
	return reach
}

// oldest is when the oldest of the newest snapshots was taken, of the shards that have
// changed since; now where there is none.
func (r *rotation) oldest(next int64, now time.Time) time.Time {
	for i := range r.shards {
		if s := &r.shards[i]; s.next != next && s.at.Before(now) {
			now = s.at
		}
	}
	return now
}
