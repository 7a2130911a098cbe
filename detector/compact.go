package detector

import "math/bits"

// compact drops the entries that no verdict can depend on any more. watermark is
// the oldest event time that can still arrive; scratch has room for 2 words a lane.
//
// An entry leaves a lane when it is older than the window that ends at the
// watermark, or when the lane has threshold + 1 newer ones that serve as well:
//
//   - at or before the watermark, only the newest threshold + 1 matter: every window
//     yet to be judged ends at or after the watermark and holds the newest first;
//   - after it, a stretch of the log no longer than the window needs its first and
//     its last threshold + 1: a window that holds an entry between them and ends
//     inside the stretch holds all of the first, one that ends after it all of the
//     last. So the count stays exact up to threshold + 1, and whether it is over the
//     threshold stays exact always, also for events that arrive late.
//
// An entry that has left all its lanes leaves the log.
func (e *Engine) compact(b *bundle, r record) {
	log, base := r.log(), r.base()
	wm := e.clock.watermark()
	for lane, l := range b.lanes {
		if !r.has(uint(lane)) {
			continue
		}
		cell := &r[r.cell(uint(lane))]
		forget(log, uint(lane), cell, limit(wm-int64(l.span), base))
		if l.needed > 0 && l.needed < len(log) {
			thin(log, uint(lane), cell, limit(wm+1, base), l.needed, uint64(l.span)<<laneBits)
		}
	}
	sweep(r, log)
}

// leave takes the entry at i out of a lane that it is in, and out of the lane's count.
func leave(log []uint64, i int, lane uint, cell *uint64) {
	log[i] &^= 1 << lane
	if i >= laneCell(*cell).cursor() {
		*cell--
	}
}

// forget takes the entries below lim out of a lane.
func forget(log []uint64, lane uint, cell *uint64, lim uint64) {
	for i := 0; i < len(log) && log[i] < lim; i++ {
		if log[i]>>lane&1 != 0 {
			leave(log, i, lane, cell)
		}
	}
}

// thin takes out of a lane what needed others make superfluous; after is the
// smallest entry after the watermark.
func thin(log []uint64, lane uint, cell *uint64, after uint64, needed int, window uint64) {
	i, late := len(log)-1, 0
	for ; i >= 0 && log[i] >= after; i-- {
		late += int(log[i] >> lane & 1)
	}
	for kept := 0; i >= 0; i-- {
		if log[i]>>lane&1 == 0 {
			continue
		}
		if kept++; kept > needed {
			leave(log, i, lane, cell)
		}
	}
	if late > 2*needed {
		thinLate(log, lane, cell, after, needed, window)
	}
}

// thinLate thins the stretches after the watermark, each no longer than a window.
func thinLate(log []uint64, lane uint, cell *uint64, after uint64, needed int, window uint64) {
	start := 0
	for start < len(log) && log[start] < after {
		start++
	}
	for start < len(log) {
		if log[start]>>lane&1 == 0 {
			start++
			continue
		}
		end, held := start, 0
		for end < len(log) && log[end]>>laneBits-log[start]>>laneBits <= window>>laneBits {
			held += int(log[end] >> lane & 1)
			end++
		}
		seen := 0
		for i := start; i < end; i++ {
			if log[i]>>lane&1 == 0 {
				continue
			}
			if seen++; seen > needed && seen <= held-needed {
				leave(log, i, lane, cell)
			}
		}
		start = end
	}
}

// sweep removes the entries without a lane and moves the cursors with their entries.
func sweep(r record, log []uint64) {
	var lanes [lanesPerRecord]struct {
		cell          *uint64
		cursor, moved int
	}
	n := 0
	for p := r.present() & (1<<lanesPerRecord - 1); p != 0; p &= p - 1 {
		lanes[n].cell = &r[r.cell(uint(bits.TrailingZeros32(p)))]
		lanes[n].cursor = laneCell(*lanes[n].cell).cursor()
		n++
	}
	kept := 0
	for i, entry := range log {
		if entry&(1<<laneBits-1) != 0 {
			log[kept] = entry
			kept++
			continue
		}
		for l := range lanes[:n] {
			if i < lanes[l].cursor {
				lanes[l].moved++
			}
		}
	}
	for _, l := range lanes[:n] {
		c := laneCell(*l.cell)
		*l.cell = makeCell(c.count(), c.cursor()-l.moved, c.edge())
	}
	r[recLen] = uint64(kept)
}

// makeRoom sees to it that the record has room for one more entry and gives its
// place, which may be new.
func (e *Engine) makeRoom(b *bundle, r ref) ref {
	w := record(e.arena.at(r))
	if w.room() > 0 {
		return r
	}
	if w.n() >= 4 && !b.holdsMost(w) {
		e.compact(b, w)
	}
	if n := w.n(); w.room() <= n/4 {
		// The blocks that a log has outgrown are of use only to other clients' logs. Where
		// many grow together they are of none: doubling leaves half as many of them.
		more := n / 2
		if n < 64 {
			more = max(2, n)
		}
		return resized(e.arena, r, more)
	}
	return r
}

// holdsMost says that compact would gain little: one lane holds three quarters of the
// log, in its window and not beyond what it needs. Asking costs a look at the cells, compacting
// one at every entry: 60 ns an event while the logs of new clients grow.
func (b *bundle) holdsMost(r record) bool {
	n := r.n()
	for lane, l := range b.lanes {
		if !r.has(uint(lane)) {
			continue
		}
		c := laneCell(r[r.cell(uint(lane))])
		if c.count() >= n-n/4 && (l.needed == 0 || c.count() <= l.needed) {
			return true
		}
	}
	return false
}

// rebase moves the beginning of a log's time up, where an event is too far from it
// for the bits of an entry. Once the log is compacted nothing in it is older than
// the longest window.
func (e *Engine) rebase(b *bundle, r record) {
	e.compact(b, r)
	base := max(r.base(), e.clock.watermark()-e.program.longest)
	by := limit(base, r.base())
	for i := range r.log() {
		r.log()[i] -= by
	}
	r[recBase] = uint64(base)
}
