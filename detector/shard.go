package detector

import "math"

// shard is a part of a partition's state: all that belongs to the subjects whose hash
// begins with its index. What a shard does depends on its own subjects' events alone,
// and on the partition's clock: so each can be snapshotted at an offset of its own.
type shard struct {
	table
	index int
	bans  bans
	words int64 // of the blocks of its records and their sets
	names int   // endpoint names (names.go)
	sweep sweeping
	copied
	next    int64    // the shard contains what precedes this offset already, and ignores it
	waiting *waiting // restored, and ahead of the engine; nil: in use
}

// sweeping says when a shard is next looked through for records that no verdict can
// depend on any more.
type sweeping struct {
	fresh int   // records added since the last pass
	after int   // as many begin the next
	floor int64 // no record's newest time is older
}

// leastSweep is how many new records are worth a pass.
const leastSweep = 16

func makeShards(n int) []shard {
	shards := make([]shard, n)
	for i := range shards {
		shards[i].index = i
	}
	return shards
}

// shardOf gives the shard of a subject.
func (e *Engine) shardOf(k key) *shard { return e.shardAt(e.seed.hash(k)) }

// shardAt gives the shard of a subject by the hash of its key.
func (e *Engine) shardAt(hash uint64) *shard { return &e.shards[hash>>e.shift] }

// insert puts in the record of a key that the shard does not have.
func (s *shard) insert(a *arena, h uint64, r ref) {
	n := len(s.slots)
	s.table.insert(a, h, r)
	if len(s.slots) != n {
		s.at = 0 // a copy that is being made looks at all slots again
	}
}

// settle has a shard count what was taken from the arena, and given back, since it held
// so many live words.
func (e *Engine) settle(s *shard, live int64) { s.words += e.arena.live - live }

// bytes is what counts against the bound on a shard's state. It depends on what the
// shard holds alone, not on how its table came about.
func (s *shard) bytes() int64 { return (s.words+2*int64(s.used))*8 + s.bans.bytes() }

// added follows the insertion of a record. Once a shard has half as many records more
// than after the last pass, the dead ones are dropped: so a pass costs each new record
// a look at two or three others, one after the other as the memory likes it, and when
// there is one depends on the records alone. While none can be dead there is none.
func (e *Engine) added(s *shard, fresh ref) {
	e.stats.Subjects++
	s.sweep.fresh++
	if s.sweep.fresh < max(leastSweep, s.sweep.after) {
		return
	}
	if dead := e.clock.watermark() - e.program.longest; dead > s.sweep.floor {
		e.sweepShard(s, dead, fresh)
	}
}

// sweepShard drops the records whose newest time is older than dead, but for a fresh one.
func (e *Engine) sweepShard(s *shard, dead int64, fresh ref) {
	least := int64(math.MaxInt64)
	for slot := 0; slot < len(s.slots); {
		r := s.ref(slot)
		if r == 0 {
			slot++
			continue
		}
		e.prefetchSlot(s, slot+sweepAhead)
		rec := record(e.arena.at(r))
		if rec.newest() >= dead || r == fresh {
			least = min(least, rec.newest())
			slot++
			continue
		}
		e.drop(s, slot) // and look at what moved here
	}
	s.sweep = sweeping{after: s.used / 2, floor: min(least, e.clock.watermark())}
}

// sweepAhead is how many slots ahead a pass has records brought into the caches.
const sweepAhead = 8

func (e *Engine) prefetchSlot(s *shard, slot int) {
	if slot < len(s.slots) {
		if r := s.ref(slot); r != 0 {
			prefetch(&e.arena.at(r)[0])
		}
	}
}

// prefetchSets has the sets of values brought of a record that is in the caches.
func (e *Engine) prefetchSets(s *shard, slot int) {
	if slot >= len(s.slots) || s.ref(slot) == 0 {
		return
	}
	rec := record(e.arena.at(s.ref(slot)))
	if rec.present()>>lanesPerRecord == 0 || rec.bundle() == nameBundle {
		return
	}
	for _, bit := range e.program.bundles[rec.bundle()].sets {
		if rec.has(bit) {
			if set := setRef(rec[rec.cell(bit)] & setMask); set != 0 {
				e.arena.prefetch(set.ref(), 0, 8)
			}
		}
	}
}

// drop takes the record of a slot out and gives back what it holds; see settle.
func (e *Engine) drop(s *shard, slot int) {
	r := s.ref(slot)
	rec := record(e.arena.at(r))
	e.gone(s, slot, rec)
	e.eachSet(rec, func(_ int, set setRef) { e.arena.releaseSet(set) })
	e.arena.release(r, rec.class())
	s.remove(slot)
	if rec.bundle() == nameBundle {
		s.names--
		return
	}
	e.stats.Subjects--
}

// eachSet calls f for each set of values of a record, with the index of its cell.
func (e *Engine) eachSet(rec record, f func(at int, set setRef)) {
	if rec.bundle() == nameBundle {
		return
	}
	for _, bit := range e.program.bundles[rec.bundle()].sets {
		if rec.has(bit) {
			if set := setRef(rec[rec.cell(bit)] & setMask); set != 0 {
				f(rec.cell(bit), set)
			}
		}
	}
}
