package detector

import (
	"math"
	"math/bits"
)

// span is a lane's window in the units of a log: an entry below lo(t) lies outside
// the window that ends at t.
//
// A closed window [t-W, t] holds what is exactly W old, a half-open one (t-W, t]
// does not; in whole µs the latter is the closed window one µs shorter.
type span int64

func newSpan(window int64, halfOpen bool) span {
	if halfOpen {
		return span(window - 1)
	}
	return span(window)
}

// limit gives the smallest entry that is not older than time since base. All entries
// are older than a time that has no place in their 48 bits.
func limit(time, base int64) uint64 {
	switch since := time - base; {
	case since <= 0:
		return 0
	case since >= 1<<(64-laneBits):
		return math.MaxUint64
	}
	return uint64(time-base) << laneBits
}

// advance moves a lane's cursor past the entries below lim.
func advance(log []uint64, cursor, count int, lim uint64, lane uint) (int, int) {
	for cursor < len(log) && log[cursor] < lim {
		count -= int(log[cursor] >> lane & 1)
		cursor++
	}
	return cursor, count
}

// insertionPoint gives the index at which an entry of time belongs: after all of
// the same time. It looks from the newest backwards, because a late event is
// usually a little late.
func insertionPoint(log []uint64, time, base int64) int {
	after := limit(time+1, base)
	i := len(log)
	for i > 0 && log[i-1] >= after {
		i--
	}
	return i
}

// newestOf gives the index of the newest entry of a lane, -1 if it has none.
func newestOf(log []uint64, lane uint) int {
	for i := len(log) - 1; i >= 0; i-- {
		if log[i]>>lane&1 != 0 {
			return i
		}
	}
	return -1
}

// add puts an event that the lanes count into the log and gives the index at which
// it stands; the record must have room. Where that is not the end, the cells are
// brought in line with their entries' new places, and those of lanes count the
// event; where it is the end, counting it is left to the caller.
func (r record) add(time int64, lanes uint16) int {
	at, n := r.logAt(), r.n()
	entry := limit(time, r.base()) | uint64(lanes)
	log := r[at : at+n+1]
	r[recLen] = uint64(n + 1)
	if n == 0 || log[n-1]>>laneBits <= entry>>laneBits {
		log[n] = entry
		return n
	}
	p := insertionPoint(log[:n], time, r.base())
	copy(log[p+1:], log[p:n])
	log[p] = entry
	for present := r.present() & (1<<lanesPerRecord - 1); present != 0; present &= present - 1 {
		lane := uint(bits.TrailingZeros32(present))
		c := &r[r.cell(lane)]
		cell := laneCell(*c)
		if p < cell.cursor() {
			*c = makeCell(cell.count(), cell.cursor()+1, cell.edge())
		} else if lanes>>lane&1 != 0 {
			*c = makeCell(cell.count()+1, cell.cursor(), cell.edge())
		}
	}
	return p
}

// peak gives the largest count over the windows that contain the entry at p and
// end at one of the lane's entries. count and cursor are the lane's, over
// [cursor, end of the log).
//
// It walks from the newest window back to the one that ends at p, so that it costs
// no more than the entries newer than p and those that leave the window on the way.
func peak(log []uint64, p int, lane uint, s span, cursor, count int) int {
	best, lo := 0, cursor
	latestEnd := log[p]>>laneBits + uint64(s)
	for hi := len(log) - 1; hi >= p; hi-- {
		if log[hi]>>lane&1 == 0 {
			continue
		}
		end := log[hi] >> laneBits
		lim := uint64(0)
		if end > uint64(s) {
			lim = (end - uint64(s)) << laneBits
		}
		lo, count = rewind(log, lo, count, lim, lane)
		lo, count = advance(log[:hi+1], lo, count, lim, lane)
		if end <= latestEnd && count > best {
			best = count
		}
		count-- // the entry at hi is in no window that ends before it
	}
	return best
}

// rewind moves a cursor back to the first entry that is not below lim.
func rewind(log []uint64, cursor, count int, lim uint64, lane uint) (int, int) {
	for cursor > 0 && log[cursor-1] >= lim {
		cursor--
		count += int(log[cursor] >> lane & 1)
	}
	return cursor, count
}
