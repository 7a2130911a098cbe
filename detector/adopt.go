package detector

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
)

// Adopt has the engine judge by another program from the record at an offset on. Counts
// of rules with the same id and version stay, those of others are dropped; bans that
// stand run to their end. A shard that is ahead of the offset knows of it already.
func (e *Engine) Adopt(next int64, p *Program) {
	if e.wake <= next {
		e.wakeShards(next)
	}
	old := e.program
	e.program = p
	e.endpoints = newEndpoints(p)
	e.nextAhead, e.endAhead, e.alone = 0, 0, glimpse{}
	e.keyUsers()
	e.clock.lateness, e.clock.maxSkew = p.set.Settings.Lateness, p.set.Settings.MaxSkew
	if !e.summaries.waiting {
		e.summaries.align(p)
	}
	for i := range e.shards {
		s := &e.shards[i]
		if s.waiting != nil {
			continue
		}
		if !bytes.Equal(old.layout, p.layout) {
			e.adoptShard(s, old)
		}
		for _, b := range s.bans.subjects {
			b.adopt(p)
		}
	}
}

// adopt has an entry name the rules of another program, where it has the same.
func (s *enforcement) adopt(p *Program) {
	current := func(r *rule) *rule {
		if r == nil {
			return nil
		}
		return cmp.Or(p.same(r), r)
	}
	for _, x := range []*standing{&s.ban, &s.throttle} {
		x.lead = current(x.lead)
		for i, r := range x.rules {
			x.rules[i] = current(r)
		}
	}
	for r, n := range s.generations {
		delete(s.generations, r)
		s.generations[current(r)] = n
	}
}

// carried is a rule of the old program and the same one of the new.
type carried struct{ from, to *rule }

// adoptShard makes a shard's records, which are of another program's layout, those of
// the engine's own. It goes through the old bundles in their order and is the same
// whatever order a table has its records in.
func (e *Engine) adoptShard(s *shard, old *Program) {
	records := make([][]ref, len(old.bundles))
	slots := s.slots
	names := make([]ref, 0, s.names)
	for _, x := range slots {
		switch r := ref(uint32(x)); {
		case r == 0:
		case record(e.arena.at(r)).bundle() == nameBundle:
			names = append(names, r)
		default:
			b := record(e.arena.at(r)).bundle()
			records[b] = append(records[b], r)
		}
	}
	if s.block != 0 {
		e.arena.recycle(s.block, len(slots))
	}
	e.stats.Subjects -= s.used - len(names)
	s.table = table{}
	for _, r := range names {
		s.insert(e.arena, e.hashOf(record(e.arena.at(r)).key(), nameBundle), r)
	}
	live := e.arena.live
	for i, list := range records {
		targets := e.targets(old.bundles[i])
		for _, r := range list {
			e.carry(s, old.bundles[i], targets, r)
		}
	}
	e.settle(s, live)
	floor := e.clock.watermark()
	for slot := range s.slots {
		if r := s.ref(slot); r != 0 {
			floor = min(floor, record(e.arena.at(r)).newest())
		}
	}
	s.sweep = sweeping{after: s.used / 2, floor: floor}
	s.anew()
}

// targets gives, by new bundle, the rules of an old bundle that are still there.
func (e *Engine) targets(old *bundle) [][]carried {
	var targets [][]carried
	for _, r := range old.rules {
		to := e.program.same(r)
		if to == nil {
			continue
		}
		i := slices.IndexFunc(targets, func(t []carried) bool { return t[0].to.bundle == to.bundle })
		if i < 0 {
			i, targets = len(targets), append(targets, nil)
		}
		targets[i] = append(targets[i], carried{r, to})
	}
	return targets
}

// content is a record in a form that does not depend on a layout's places.
type content struct {
	base, newest int64
	entries      []logged
	lanes        map[uint]laneContent
	extras       map[uint]uint64 // by bit, the cell
}

// logged is an event of a log: its time, and the lanes that count it.
type logged struct {
	time  int64
	lanes uint16
}

// laneContent is a lane's cell: how many of the lane's entries lie before its cursor.
type laneContent struct {
	before int
	edge   edge
}

// carry takes a record of an old bundle over into new ones, and gives it back.
func (e *Engine) carry(s *shard, old *bundle, targets [][]carried, r ref) {
	rec := record(e.arena.at(r))
	kept := uint32(0)
	for _, rules := range targets {
		c := content{base: rec.base(), newest: rec.newest(), lanes: map[uint]laneContent{}, extras: map[uint]uint64{}}
		var to [lanesPerRecord]uint16
		for _, x := range rules {
			for i := range uint(x.from.kind.lanes) {
				if from, bit := x.from.bit+i, x.to.bit+i; rec.has(from) {
					to[from] = 1 << bit
					c.lanes[bit] = laneContentOf(rec, from)
				}
			}
			for i := range uint(x.from.kind.extras) {
				if from, bit := x.from.extra+i, x.to.extra+i; rec.has(from) {
					c.extras[bit] = rec[rec.cell(from)]
					kept |= 1 << from
				}
			}
		}
		if len(c.lanes)+len(c.extras) == 0 {
			continue
		}
		for _, x := range rec.log() {
			var lanes uint16
			for m := x & (1<<laneBits - 1); m != 0; m &= m - 1 {
				lanes |= to[bits.TrailingZeros64(m)]
			}
			if lanes != 0 {
				c.entries = append(c.entries, logged{rec.base() + int64(x>>laneBits), lanes})
			}
		}
		e.merge(s, rules[0].to.bundle, rec.key(), c)
		rec = record(e.arena.at(r)) // the arena may have grown
	}
	for _, bit := range old.sets {
		if rec.has(bit) && kept>>bit&1 == 0 {
			if set := setRef(rec[rec.cell(bit)] & setMask); set != 0 {
				e.arena.releaseSet(set)
			}
		}
	}
	e.arena.release(r, rec.class())
}

func laneContentOf(rec record, lane uint) laneContent {
	c := laneCell(rec[rec.cell(lane)])
	before := 0
	for _, x := range rec.log()[:c.cursor()] {
		before += int(x >> lane & 1)
	}
	return laneContent{before: before, edge: c.edge()}
}

// merge makes a record of a bundle with the content, together with what the bundle
// has under the key already.
func (e *Engine) merge(s *shard, b *bundle, k key, c content) {
	h := e.hashOf(k, b.index)
	if slot := s.find(e.arena, k, b.index, h); slot >= 0 {
		r := s.ref(slot)
		rec := record(e.arena.at(r))
		c.base, c.newest = min(c.base, rec.base()), max(c.newest, rec.newest())
		for p := rec.present(); p != 0; p &= p - 1 {
			bit := uint(bits.TrailingZeros32(p))
			if bit >= lanesPerRecord {
				c.extras[bit] = rec[rec.cell(bit)]
			} else {
				c.lanes[bit] = laneContentOf(rec, bit)
			}
		}
		had := make([]logged, 0, rec.n()+len(c.entries))
		for _, x := range rec.log() {
			had = append(had, logged{rec.base() + int64(x>>laneBits), uint16(x)})
		}
		c.entries = append(had, c.entries...)
		slices.SortStableFunc(c.entries, func(a, b logged) int { return cmp.Compare(a.time, b.time) })
		e.arena.release(r, rec.class())
		s.remove(slot)
		e.stats.Subjects--
	}
	s.insert(e.arena, h, e.write(b, k, c, s.cycle))
	e.stats.Subjects++
}

// write makes the record of a content. Entries that no window can hold any more, and
// that would stretch the log's time, are left out.
func (e *Engine) write(b *bundle, k key, c content, cycle uint8) ref {
	if dead := e.clock.watermark() - e.program.longest; c.base < dead {
		c.base = dead
	}
	left := 0
	for left < len(c.entries) && c.entries[left].time < c.base {
		for bit, l := range c.lanes {
			if c.entries[left].lanes>>bit&1 != 0 && l.before > 0 {
				l.before--
				c.lanes[bit] = l
			}
		}
		left++
	}
	entries := c.entries[left:]
	present := uint32(0)
	for bit := range c.lanes {
		present |= 1 << bit
	}
	for bit := range c.extras {
		present |= 1 << bit
	}
	r := newRecord(e.arena, k, b.index, present, c.base, len(entries)+2)
	rec := record(e.arena.at(r))
	rec.touch(c.newest, cycle)
	rec[recLen] = uint64(len(entries))
	for i, x := range entries {
		rec[rec.logAt()+i] = limit(x.time, c.base) | uint64(x.lanes)
	}
	for bit, cell := range c.extras {
		rec[rec.cell(bit)] = cell
	}
	for bit, l := range c.lanes {
		cursor, count, before := 0, 0, l.before
		for i, x := range entries {
			switch {
			case x.lanes>>bit&1 == 0:
			case before > 0:
				before--
				cursor = i + 1
			default:
				count++
			}
		}
		rec[rec.cell(bit)] = makeCell(count, cursor, l.edge)
	}
	return r
}
