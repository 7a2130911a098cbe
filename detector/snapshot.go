package detector

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// An encoded copy of a shard, little endian:
//
//	magic, format version   8 bytes
//	length of what follows  4 bytes, then a SnapshotHeader and snapshotRest as JSON
//	records                 (of open summaries: see summarycopy.go) each the words of a record as in memory (record.go), its sets
//	                        of values after it in the order of their cells
//
// A record keeps its size class and a set its capacity, because what a shard does next
// with its room decides when it drops what it may drop.
const (
	snapshotMagic   = "apwshard"
	snapshotVersion = 1
)

// ErrSnapshotVersion says that a snapshot was written by a version whose format this
// one does not read.
var ErrSnapshotVersion = errors.New("the snapshot is of another format version")

// SnapshotHeader is what the beginning of an encoded copy says.
type SnapshotHeader struct {
	Next    int64     `json:"next"`    // the first offset that is not contained
	Newest  int64     `json:"newest"`  // the partition's newest event time then, µs
	Started bool      `json:"started"` // there was an event
	Shard   int       `json:"shard"`
	Shards  int       `json:"shards"`
	Seed    [2]uint64 `json:"seed"`
	Number  uint64    `json:"number"`  // of this copy of the shard
	Base    uint64    `json:"base"`    // of the whole copy that it builds on; Number: it is whole
	Program string    `json:"program"` // Program.Hash
}

// Whole says that the copy needs no other.
func (h *SnapshotHeader) Whole() bool { return h.Base == h.Number }

// ofSummaries says that the copy is of open summaries, and of no shard of counts.
func (h *SnapshotHeader) ofSummaries() bool { return h.Shard == h.Shards }

// snapshotRest is what else stands in front of the records.
type snapshotRest struct {
	Layout  json.RawMessage `json:"layout"`
	Fresh   int             `json:"fresh"`
	After   int             `json:"after"`
	Floor   int64           `json:"floor"`
	Records int             `json:"records"`
	Removed []removed       `json:"removed,omitempty"`
	Bans    []savedBan      `json:"bans,omitempty"`
	Spent   []savedSpent    `json:"spent,omitempty"`
}

// removed is a record that a shard has dropped since the last whole copy.
type removed struct {
	Key    key `json:"key"`
	Bundle int `json:"bundle"`
}

// copied is what a shard knows of its copies.
//
// A copy of a large shard is made in steps, and events are judged between them. What
// the copy has of a record is the record as it stood at the beginning: one that is about
// to change, or to go, and is not copied yet, is copied first. A record's cycle tells
// where it stands, in numbers modulo 256: it is the shard's cycle if it was touched since
// the last copy began, and one less if that copy has it and it was not touched since.
type copied struct {
	cycle   uint8      // even; of the last copy
	since   uint8      // of the last whole copy: a record of one less has not changed since
	copy    *ShardCopy // that is being made; nil: none
	at      int        // the slot at which it goes on
	number  uint64     // of the last copy
	whole   uint64     // of the last whole copy; 0: none
	done    [2]int64   // the offsets of the last two copies, the older one first
	removed []removed  // since the last whole copy
}

// mostChanges is how many copies of changes may follow a whole one: their cycles must
// be told apart.
const mostChanges = 100

// leastRemoved is how many dropped records a copy of changes may name, besides as many
// as there are records; with more the next copy is whole.
const leastRemoved = 1024

// gone notes that the record of a slot is about to be dropped.
func (e *Engine) gone(s *shard, slot int, rec record) {
	if s.copy != nil {
		e.copyBefore(s, rec)
		s.at = min(s.at, slot) // what stands behind moves up, and is perhaps not copied yet
	}
	switch {
	case s.whole == 0:
	case len(s.copied.removed) >= s.used+leastRemoved:
		s.whole, s.copied.removed = 0, nil // the next copy is whole
	default:
		s.copied.removed = append(s.copied.removed, removed{rec.key(), rec.bundle()})
	}
}

// anew makes the next copy a whole one, and gives up the one that is being made.
func (s *shard) anew() { s.whole, s.copied.removed, s.copy = 0, nil, nil }

// ShardCopy is a copy of a shard, whole or of what has changed since the last whole
// one. The zero value is ready for use, and can be used again.
type ShardCopy struct {
	header SnapshotHeader
	rest   snapshotRest
	words  []uint64
	bans   []enforcement
	runs   []run // scratch
	open   summaryRest
	lists  []byte // the summaries of open
	made   bool
}

// Made says that the copy is finished and was not given up.
func (c *ShardCopy) Made() bool { return c.made }

// Header gives what the encoded copy begins with.
func (c *ShardCopy) Header() SnapshotHeader { return c.header }

// Shards says how many shards there are.
func (e *Engine) Shards() int { return len(e.shards) }

// Copy copies a shard as it stands before the record at the offset next is judged.
// With whole it copies everything, otherwise what has changed since the last whole copy,
// if there was one: c.Header says which. To be called between events.
func (e *Engine) Copy(shard int, next int64, whole bool, c *ShardCopy) {
	e.BeginCopy(shard, next, whole, c)
	for !e.GoOnCopying(shard, 1<<20) {
	}
}

// BeginCopy begins a copy that GoOnCopying makes, so that a large shard does not stop
// its partition for long: events may be judged meanwhile, and the copy is of the shard as
// it stood at the beginning. It takes the place of one that is not finished. c must
// not be used for anything else until the copy is finished.
func (e *Engine) BeginCopy(shard int, next int64, whole bool, c *ShardCopy) {
	if e.wake <= next {
		e.wakeShards(next)
	}
	if shard == e.SummaryShard() {
		e.beginSummaryCopy(next, c)
		return
	}
	s := &e.shards[shard]
	whole = whole || s.copy != nil && s.copy.header.Whole() // which nothing can be built on
	s.number++
	s.cycle += 2
	if whole || s.whole == 0 || s.cycle-s.since > 2*mostChanges {
		s.whole, s.since = s.number, s.cycle
		s.copied.removed = nil
		// It is no more than this: growing by and by took half of the time.
		c.words = slices.Grow(c.words[:0], int(s.words))
	}
	c.words, c.made = c.words[:0], false
	c.header = e.header(shard, max(next, s.next), s.number, s.whole)
	c.rest = snapshotRest{Layout: e.program.layout, Fresh: s.sweep.fresh, After: s.sweep.after, Floor: s.sweep.floor,
		Removed: append([]removed(nil), s.copied.removed...), Spent: e.savedSpent(s)}
	c.bans = c.bans[:0]
	for _, x := range s.bans.subjects {
		c.bans = append(c.bans, x.clone())
	}
	s.copy, s.at = c, 0
}

// header is what a copy of a shard begins with.
func (e *Engine) header(shard int, next int64, number, base uint64) SnapshotHeader {
	return SnapshotHeader{
		Next: next, Newest: e.clock.newest, Started: e.clock.started, Shard: shard, Shards: len(e.shards), Seed: e.opts.Seed,
		Number: number, Base: base, Program: e.program.Hash(),
	}
}

// GoOnCopying looks at so many more slots of the table of a shard that is being copied,
// at about 100 ns a slot, and reports whether there is nothing left to do: the copy is
// made, or was given up.
func (e *Engine) GoOnCopying(shard, slots int) bool {
	if shard == e.SummaryShard() {
		return e.summaries.copying.goOn(max(1, slots/slotsPerSummary))
	}
	s := &e.shards[shard]
	if s.copy == nil {
		return true
	}
	for end := s.at + slots; s.at < len(s.slots); s.at++ {
		if s.at >= end {
			return false
		}
		e.prefetchSlot(s, s.at+2*sweepAhead)
		e.prefetchSets(s, s.at+sweepAhead)
		if r := s.ref(s.at); r != 0 {
			e.copyBefore(s, record(e.arena.at(r)))
		}
	}
	s.done = [2]int64{s.done[1], s.copy.header.Next}
	s.copy.made, s.copy = true, nil
	e.repeatable = s.done[0]
	for i := range e.shards {
		e.repeatable = min(e.repeatable, e.shards[i].done[0])
	}
	return true
}

// copyBefore puts a record into the copy that is being made of its shard, unless the
// copy has it or has no need of it. Whoever changes a record calls it before.
func (e *Engine) copyBefore(s *shard, rec record) {
	at := rec.cycle()
	if at == s.cycle || at == s.cycle-1 || at == s.since-1 && s.since != s.cycle {
		return
	}
	e.copyRecord(s.copy, rec)
	rec.setCycle(s.cycle - 1)
}

// copyRecord appends a record's words and those of its sets, without what has a
// meaning in this memory alone.
func (e *Engine) copyRecord(c *ShardCopy, rec record) {
	at := len(c.words)
	c.words = append(c.words, rec[:rec.logAt()+rec.n()]...)
	c.words[at+recPresent] &^= 0xff << 56
	c.rest.Records++
	e.eachSet(rec, func(cell int, set setRef) {
		c.words[at+cell] = c.words[at+cell]&^0xffffffff | hasSet
		w := e.arena.at(set.ref())
		switch {
		case set.table() > 0:
			c.words = append(c.words, w[:tableWords(set.table())]...)
		case smallSet(w).isLarge():
			c.runs = largeSet(w).runs(c.runs[:0])
			c.words = append(c.words, uint64(len(c.runs))|uint64(smallSet(w).class())<<32|setLarge, uint64(largeSet(w).capacity())|uint64(largeSet(w).outside())<<32)
			for _, v := range c.runs {
				c.words = append(c.words, v.hash, uint64(v.first), packLast(v))
			}
		default:
			c.words = append(c.words, w[:1+smallRun*smallSet(w).n()]...)
		}
	})
}

// Append encodes the copy. Any goroutine may call it.
func (c *ShardCopy) Append(dst []byte) []byte {
	c.rest.Bans = c.rest.Bans[:0]
	for i := range c.bans {
		c.rest.Bans = append(c.rest.Bans, c.bans[i].save())
	}
	if c.header.ofSummaries() {
		return append(appendFront(dst, struct {
			SnapshotHeader
			summaryRest
		}{c.header, c.open}), c.lists...)
	}
	dst = appendFront(dst, struct {
		SnapshotHeader
		snapshotRest
	}{c.header, c.rest})
	for _, w := range c.words {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst
}

// appendFront appends what precedes the records of a copy.
func appendFront(dst []byte, front any) []byte {
	head, err := json.Marshal(front)
	if err != nil {
		panic(err) // strings and numbers alone
	}
	dst = append(dst, snapshotMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, snapshotVersion)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(head)))
	return append(dst, head...)
}

// ReadSnapshotHeader reads what an encoded copy says of itself. ErrSnapshotVersion says
// that the rest cannot be read.
func ReadSnapshotHeader(b []byte) (SnapshotHeader, error) {
	var h SnapshotHeader
	head, _, err := cutSnapshot(b)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(head, &h); err != nil {
		return h, fmt.Errorf("reading the header of a snapshot: %w", err)
	}
	if h.Shards < 1 || h.Shards > 1<<shardBits || h.Shards&(h.Shards-1) != 0 || h.Shard < 0 || h.Shard > h.Shards || h.Next < 0 {
		return h, fmt.Errorf("the header of a snapshot is of shard %d of %d at offset %d", h.Shard, h.Shards, h.Next)
	}
	return h, nil
}

// cutSnapshot cuts an encoded copy into what is JSON and the records.
func cutSnapshot(b []byte) (head, records []byte, err error) {
	const front = len(snapshotMagic) + 8
	if len(b) < front || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return nil, nil, errors.New("this is no snapshot of a shard")
	}
	if v := binary.LittleEndian.Uint32(b[len(snapshotMagic):]); v != snapshotVersion {
		return nil, nil, fmt.Errorf("%w: %d, known is %d", ErrSnapshotVersion, v, snapshotVersion)
	}
	n := int(binary.LittleEndian.Uint32(b[front-4:]))
	if n > len(b)-front {
		return nil, nil, errors.New("the snapshot is cut")
	}
	return b[front : front+n], b[front+n:], nil
}

// Shown gives what the ban topic should hold of this engine's subjects, once all that
// was restored is in use.
func (e *Engine) Shown() []schemas.Ban {
	e.wakeShards(math.MaxInt64)
	var bans []schemas.Ban
	for i := range e.shards {
		for _, s := range e.shards[i].bans.subjects {
			if s.shown != nil {
				bans = append(bans, *s.shown)
			}
		}
	}
	return bans
}

// Bound sets what one shard may hold from the next event on, as Options say.
func (e *Engine) Bound(maxBytes int64, maxEndpoints int) {
	e.opts.MaxBytes, e.opts.MaxEndpoints = maxBytes, maxEndpoints
}
