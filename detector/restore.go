package detector

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// shardState is an encoded copy, read but for its records.
type shardState struct {
	SnapshotHeader
	snapshotRest
	records []byte
}

func readState(b []byte) (*shardState, error) {
	h, err := ReadSnapshotHeader(b)
	if err != nil {
		return nil, err
	}
	s := &shardState{SnapshotHeader: h}
	head, records, err := cutSnapshot(b)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(head, &s.snapshotRest); err != nil {
		return nil, fmt.Errorf("reading what precedes the records of a snapshot: %w", err)
	}
	s.records = records
	return s, nil
}

// Restore puts a shard back as a copy says: a whole copy and, if there is one, the
// newest copy of what has changed since. It is for an engine that has judged nothing,
// with as many shards and the seed of the copy; Begin ends restoring. After an error
// the shard is as new. Counts of rules that the program does not have are dropped.
func (e *Engine) Restore(whole, changes []byte) error {
	h, err := ReadSnapshotHeader(whole)
	if err != nil {
		return err
	}
	if !h.Whole() {
		return fmt.Errorf("the copy %d of shard %d is not whole", h.Number, h.Shard)
	}
	if h.Shards != len(e.shards) || h.Seed != e.opts.Seed {
		return fmt.Errorf("the snapshot is of a state of %d shards with another seed; this one has %d", h.Shards, len(e.shards))
	}
	if h.ofSummaries() {
		return e.restoreSummaries(h, whole)
	}
	state, err := readState(whole)
	if err != nil {
		return err
	}
	copies := []*shardState{state}
	if changes != nil {
		late, err := readState(changes)
		if err != nil {
			return err
		}
		if late.Shard != state.Shard || late.Base != state.Number || late.Seed != state.Seed || !bytes.Equal(late.Layout, state.Layout) {
			return fmt.Errorf("the changes of shard %d are not to the copy %d of shard %d", late.Shard, state.Number, state.Shard)
		}
		copies = append(copies, late)
	}
	s := &e.shards[state.Shard]
	e.empty(s)
	if err := e.restoreShard(s, copies); err != nil {
		return fmt.Errorf("restoring shard %d: %w", state.Shard, err)
	}
	return nil
}

// restoreShard fills an empty shard. Where the copies are of another layout, the records
// stay as they are until the engine is that far: on the way there the program may
// become the one that they are of.
func (e *Engine) restoreShard(s *shard, copies []*shardState) (err error) {
	current, from := e.program, e.program
	newest := copies[len(copies)-1]
	if !bytes.Equal(newest.Layout, current.layout) {
		if from, err = programOf(newest.Layout); err != nil {
			return err
		}
	}
	e.program = from
	defer func() {
		if err != nil {
			e.empty(s)
		}
		e.program = current
	}()
	for _, c := range copies {
		for _, gone := range c.Removed {
			if err := e.restoreRemoved(s, gone); err != nil {
				return err
			}
		}
		r := recordReader{e: e, s: s, b: c.records, spare: 16<<20 + 64*int64(len(c.records)/8)}
		for range c.Records {
			if err := r.record(); err != nil {
				return err
			}
		}
		if len(r.b) > 0 {
			return fmt.Errorf("%d bytes follow the last record", len(r.b))
		}
	}
	e.program = current
	s.sweep = sweeping{fresh: newest.Fresh, after: newest.After, floor: newest.Floor}
	s.number = newest.Number
	e.restoreSpent(s, newest.Spent)
	s.anew() // whoever wrote the copies may go on writing to them
	s.waiting = &waiting{from: from, state: newest}
	if from == current {
		e.wakeShard(s)
	} else {
		s.next = math.MaxInt64
		e.wake = min(e.wake, newest.Next)
	}
	e.restored = append(e.restored, newest.SnapshotHeader)
	return nil
}

// waiting is what a restored shard, whose records are of another layout, waits with.
type waiting struct {
	from  *Program
	state *shardState
}

// wakeShards has the shards go on that contain what precedes an offset and no more.
func (e *Engine) wakeShards(offset int64) {
	e.wake = math.MaxInt64
	for i := range e.shards {
		switch s := &e.shards[i]; {
		case s.waiting == nil:
		case s.waiting.state.Next <= offset:
			e.wakeShard(s)
		default:
			e.wake = min(e.wake, s.waiting.state.Next)
		}
	}
	e.wakeSummaries(offset)
}

// wakeShard brings a restored shard in line with the program.
func (e *Engine) wakeShard(s *shard) {
	from, state := s.waiting.from, s.waiting.state
	s.waiting, s.next = nil, state.Next
	if !bytes.Equal(from.layout, e.program.layout) {
		from.longest = e.program.longest
		e.adoptShard(s, from)
	}
	for i := range state.Bans {
		if b := &state.Bans[i]; e.shardOf(b.Key) == s {
			e.restoreBan(&s.bans, b)
		}
	}
}

// Begin ends restoring: the log is judged from an offset on. The clock stands as the
// snapshots know it that contain no more than what precedes the offset. A shard takes
// no notice of the records that it contains already.
func (e *Engine) Begin(from int64) {
	for _, h := range e.restored {
		if h.Next <= from && h.Started {
			e.clock.move(h.Newest)
		}
	}
	e.restored = nil
}

// empty makes a shard as new.
func (e *Engine) empty(s *shard) {
	live := e.arena.live
	for slot := 0; slot < len(s.slots); {
		if s.ref(slot) == 0 {
			slot++
			continue
		}
		e.drop(s, slot)
	}
	e.settle(s, live)
	e.filter.held -= len(s.bans.subjects)
	s.bans, s.sweep, s.next, s.waiting = bans{}, sweeping{}, 0, nil
	for at, list := range e.budgets {
		if list = slices.DeleteFunc(list, func(b spent) bool { return b.shard == s.index }); len(list) == 0 {
			delete(e.budgets, at)
		} else {
			e.budgets[at] = list
		}
	}
}

// restoreRemoved takes out a record that was dropped after the whole copy.
func (e *Engine) restoreRemoved(s *shard, gone removed) error {
	if gone.Bundle != nameBundle && (gone.Bundle < 0 || gone.Bundle >= len(e.program.bundles)) {
		return fmt.Errorf("a dropped record is of bundle %d, of which there are %d", gone.Bundle, len(e.program.bundles))
	}
	if slot := s.find(e.arena, gone.Key, gone.Bundle, e.hashOf(gone.Key, gone.Bundle)); slot >= 0 {
		live := e.arena.live
		e.drop(s, slot)
		e.settle(s, live)
	}
	return nil
}

// recordReader reads records into a shard. Nothing that it reads is trusted: what later
// work relies on is checked, so that a snapshot that is wrong is an error, not a panic.
type recordReader struct {
	e     *Engine
	s     *shard
	b     []byte
	spare int64 // words that may be taken for room beyond what is used
}

var errCut = errors.New("the records are cut")

func (r *recordReader) word(i int) uint64 { return binary.LittleEndian.Uint64(r.b[8*i:]) }

// take moves words to dst.
func (r *recordReader) take(dst []uint64) error {
	if len(r.b) < 8*len(dst) {
		return errCut
	}
	for i := range dst {
		dst[i] = r.word(i)
	}
	r.b = r.b[8*len(dst):]
	return nil
}

// alloc gives a block of the class, or one as large as need be where classes ask for
// far more than there is to read.
func (r *recordReader) alloc(class, used int) (ref, int) {
	words := used
	if class < classCount && classWords(class) >= used {
		if extra := int64(classWords(class) - used); extra <= r.spare {
			r.spare -= extra
			words = classWords(class)
		}
	}
	return r.e.arena.alloc(words)
}

// record reads one record and its sets.
func (r *recordReader) record() error {
	var head [recHeader]uint64
	if err := r.take(head[:]); err != nil {
		return err
	}
	h := record(head[:])
	n, used := head[recLen], recHeader+h.cells()
	if n > cellMask || uint64(len(r.b)) < 8*(n+uint64(h.cells())) {
		return errCut
	}
	used += int(n)
	var b *bundle
	if h.bundle() != nameBundle {
		if h.bundle() >= len(r.e.program.bundles) {
			return fmt.Errorf("a record is of bundle %d, of which there are %d", h.bundle(), len(r.e.program.bundles))
		}
		b = r.e.program.bundles[h.bundle()]
	}
	if h.present()&^b.cells() != 0 {
		return fmt.Errorf("a record has cells %x of bundle %d, which has %x", h.present(), h.bundle(), b.cells())
	}
	live := r.e.arena.live
	at, class := r.alloc(h.class(), used)
	rec := record(r.e.arena.at(at))
	copy(rec, head[:])
	rec[recPresent] = rec[recPresent]&^(0xff<<32|0xff<<56) | uint64(class)<<32
	if err := r.take(rec[recHeader:used]); err != nil {
		return err
	}
	if b != nil {
		if err := r.cells(b, rec); err != nil {
			r.e.arena.release(at, class)
			return err
		}
	}
	r.put(rec, at)
	r.e.settle(r.s, live)
	return nil
}

// put puts a record in the place of the one that the shard has under its key.
func (r *recordReader) put(rec record, at ref) {
	h := r.e.hashOf(rec.key(), rec.bundle())
	if slot := r.s.find(r.e.arena, rec.key(), rec.bundle(), h); slot >= 0 {
		r.e.drop(r.s, slot)
	}
	r.s.insert(r.e.arena, h, at)
	if rec.bundle() == nameBundle {
		r.s.names++
	} else {
		r.e.stats.Subjects++
	}
}

// cells gives the cells that a record of the bundle can have; a name has none.
func (b *bundle) cells() uint32 {
	if b == nil {
		return 0
	}
	return 1<<len(b.lanes) - 1 | (1<<len(b.extras)-1)<<lanesPerRecord
}

// cells checks a record's log and the cells of its lanes, and reads its sets. After an
// error none is left.
func (r *recordReader) cells(b *bundle, rec record) error {
	log, lanes := rec.log(), uint64(rec.present()&(1<<lanesPerRecord-1))
	for i, entry := range log {
		if entry&(1<<laneBits-1)&^lanes != 0 || i > 0 && log[i-1]>>laneBits > entry>>laneBits {
			return errors.New("a log is out of order")
		}
	}
	for ; lanes != 0; lanes &= lanes - 1 {
		lane := uint(bits.TrailingZeros64(lanes))
		c := laneCell(rec[rec.cell(lane)])
		count := 0
		if c.cursor() > len(log) || c.edge() > pending {
			return errors.New("a cell points beyond its log")
		}
		for _, entry := range log[c.cursor():] {
			count += int(entry >> lane & 1)
		}
		if count != c.count() {
			return errors.New("a cell does not agree with its log")
		}
	}
	var read []setRef
	for i, x := range b.extras {
		bit := uint(lanesPerRecord + i)
		if x.kind != &distinct || !rec.has(bit) {
			continue
		}
		cell := &rec[rec.cell(bit)]
		set, err := r.set(*cell)
		if err != nil {
			for _, s := range read {
				r.e.arena.releaseSet(s)
			}
			return err
		}
		if set != 0 {
			read = append(read, set)
		}
		*cell = uint64(set) | uint64(laneCell(*cell).edge())<<edgeAt
	}
	return nil
}

// hasSet marks a cell, in a copy, whose rule has a set of values.
const hasSet = 1

// set reads the set of a cell, in the form that the cell says.
func (r *recordReader) set(cell uint64) (setRef, error) {
	if cell&hasSet == 0 {
		return 0, nil
	}
	if laneCell(cell).edge() > pending || len(r.b) < 8 {
		return 0, errCut
	}
	first := r.word(0)
	n, class, logCapacity := int(uint32(first)), int(first>>32&0xff), setRef(cell&setMask).table()
	switch {
	case logCapacity > 0:
		return r.table(n, class, logCapacity)
	case first&setLarge != 0:
		return r.large(n, class)
	}
	used := 1 + smallRun*n
	if n > smallSize || len(r.b) < 8*used {
		return 0, errCut
	}
	at, class := r.alloc(class, used)
	w := smallSet(r.e.arena.at(at))
	err := r.take(w[:used])
	w[0] = uint64(n) | uint64(class)<<32
	return setRef(at), err
}

func (r *recordReader) table(n, class, logCapacity int) (setRef, error) {
	if logCapacity > 26 || len(r.b) < 8*tableWords(logCapacity) {
		return 0, errCut
	}
	at, class := r.alloc(class, tableWords(logCapacity))
	w := tableSet(r.e.arena.at(at))
	err := r.take(w[:tableWords(logCapacity)])
	held := 0
	for i := range 1 << logCapacity {
		if w[1+tableRun*i+2] != 0 {
			held++
		}
	}
	if err == nil && (held != n || 4*held > 3<<logCapacity) {
		err = errors.New("a table of values is overfull")
	}
	w[0] = uint64(n) | uint64(class)<<32
	if err != nil {
		r.e.arena.release(at, class)
		return 0, err
	}
	return setRef(at) | setRef(logCapacity)<<32, nil
}

func (r *recordReader) large(n, class int) (setRef, error) {
	var front [2]uint64
	if err := r.take(front[:]); err != nil {
		return 0, err
	}
	capacity, outside := int(low(front[1])), int(high(front[1]))
	if len(r.b) < 8*smallRun*n || capacity > 1<<26 || capacity&(capacity-1) != 0 || n > capacity || outside > n || int64(capacity) > 64*int64(n)+1024 {
		return 0, errCut
	}
	runs := make([]run, n)
	for i := range runs {
		last := r.word(smallRun*i + 2)
		runs[i] = run{hash: r.word(smallRun * i), first: int64(r.word(smallRun*i + 1)), last: int64(last >> 1), old: last&1 != 0}
		if i > 0 && runs[i].last < runs[i-1].last {
			return 0, errors.New("a list of values is out of order")
		}
	}
	r.b = r.b[8*smallRun*n:]
	at, class := r.alloc(class, largeWordsFor(capacity))
	largeSet(r.e.arena.at(at)).restore(runs, capacity, class, outside)
	return setRef(at), nil
}
