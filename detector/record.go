package detector

import "math/bits"

// A record is one block of an arena, in words:
//
//	0, 1   key
//	2      present (32 bits: lanes 0-15, extras 16-31) | size class << 32 |
//	       bundle << 40 | cycle << 56 (see copied)
//	3      base: times of the log count from here, µs
//	4      newest event time that touched the record, µs
//	5      n, entries of the log
//	6 ...  one cell per bit of present, in the order of the bits
//	then   the log: n entries, oldest first, and room for more
//
// A log entry is time<<16 | lanes: 48 bits of µs since base (8.9 years) and a bit
// for each lane that counts the event.
const (
	recPresent = 2
	recBase    = 3
	recNewest  = 4
	recLen     = 5
	recHeader  = 6

	lanesPerRecord  = 16 // bits of a log entry
	extrasPerRecord = 16
	laneBits        = 16
	maxOffset       = int64(1) << 47             // µs from base at which a log is rebased: 4.4 years
	maxWindow       = int64(4*365*24*3600) * 1e6 // µs; leaves room below maxOffset
)

// record is the words of one record, from its first to the end of its chunk.
type record []uint64

func (r record) key() key        { return key{r[0], r[1]} }
func (r record) present() uint32 { return uint32(r[recPresent]) }
func (r record) class() int      { return int(r[recPresent] >> 32 & 0xff) }
func (r record) bundle() int     { return int(r[recPresent] >> 40 & 0xffff) }
func (r record) cycle() uint8    { return uint8(r[recPresent] >> 56) }
func (r record) base() int64     { return int64(r[recBase]) }
func (r record) newest() int64   { return int64(r[recNewest]) }
func (r record) n() int          { return int(r[recLen]) }

// touch notes that an event of the time counts in the record.
func (r record) touch(time int64, cycle uint8) {
	r[recNewest] = uint64(max(r.newest(), time))
	r.setCycle(cycle)
}

func (r record) setCycle(cycle uint8) {
	r[recPresent] = r[recPresent]&^(0xff<<56) | uint64(cycle)<<56
}

// cells says how many cells there are, logAt where the log begins.
func (r record) cells() int { return bits.OnesCount32(r.present()) }
func (r record) logAt() int { return recHeader + r.cells() }

// log gives the entries.
func (r record) log() []uint64 {
	at := r.logAt()
	return r[at : at+r.n()]
}

// room says how many entries fit before the block must grow.
func (r record) room() int { return classWords(r.class()) - r.logAt() - r.n() }

// cell gives the index of the word of a cell that is present.
func (r record) cell(bit uint) int {
	return recHeader + bits.OnesCount32(r.present()&(1<<bit-1))
}

func (r record) has(bit uint) bool { return r.present()>>bit&1 != 0 }

// A cell of a lane is count (28 bits) | cursor (28 bits) << 28 | edge << 56.
// cursor is the index of the first log entry that may lie in the lane's window,
// count the number of the lane's entries from there on.
type laneCell uint64

const (
	cellBits = 28
	cellMask = 1<<cellBits - 1
	edgeAt   = 56
)

func makeCell(count, cursor int, e edge) uint64 {
	return uint64(count) | uint64(cursor)<<cellBits | uint64(e)<<edgeAt
}

func (c laneCell) count() int  { return int(c & cellMask) }
func (c laneCell) cursor() int { return int(c >> cellBits & cellMask) }
func (c laneCell) edge() edge  { return edge(c >> edgeAt & 3) }

// edge is the state of `emit: edge` of one rule and subject.
type edge uint8

const (
	armed   edge = iota // the next crossing fires
	silent              // fired; armed again once the count falls
	pending             // fired and banned: armed again by the next event after the ban
)

// judge says whether a rule fires on an event that finds it over (or not over)
// its threshold, and the state after it. inOrder: the event is at or after the
// rule's newest counted one; only such an event arms the edge again. pardoned: the
// subject's ban was ended by hand, so that it takes a new crossing.
func (e edge) judge(over, inOrder, every, pardoned bool) (fire bool, next edge) {
	if e == pending && pardoned {
		e = silent
	}
	if inOrder {
		if e == pending || !over {
			e = armed
		}
	}
	switch {
	case !over:
		return false, e
	case every:
		return true, silent
	case e == armed:
		return true, silent
	}
	return false, e
}

// newRecord makes an empty record with cells for present and room for entries.
func newRecord(a *arena, k key, bundle int, present uint32, base int64, entries int) ref {
	cells := bits.OnesCount32(present)
	r, class := a.alloc(recHeader + cells + entries)
	w := record(a.at(r))
	w[0], w[1] = k[0], k[1]
	w[recPresent] = uint64(present) | uint64(class)<<32 | uint64(bundle)<<40
	w[recBase] = uint64(base)
	w[recNewest] = uint64(base)
	w[recLen] = 0
	clear(w[recHeader : recHeader+cells])
	return r
}

// resized copies the record at r into a block with room for entries more and
// gives the old block back.
func resized(a *arena, r ref, entries int) ref {
	old := record(a.at(r))
	words, class := old.logAt()+old.n(), old.class()
	to, newClass := a.alloc(words + entries)
	if newClass == class {
		a.release(to, newClass)
		return r
	}
	w := record(a.at(to))
	copy(w[:words], old[:words])
	w[recPresent] = old[recPresent]&^(0xff<<32) | uint64(newClass)<<32
	a.release(r, class)
	return to
}

// withCells makes sure that the cells of want are present and gives the record's
// place, which may be new.
func withCells(a *arena, r ref, want uint32) ref {
	w := record(a.at(r))
	missing := want &^ w.present()
	if missing == 0 {
		return r
	}
	if need := bits.OnesCount32(missing); w.room() < need {
		r = resized(a, r, need+need/2+1)
		w = record(a.at(r))
	}
	for ; missing != 0; missing &= missing - 1 {
		bit := uint(bits.TrailingZeros32(missing))
		at, end := w.cell(bit), w.logAt()+w.n()
		copy(w[at+1:end+1], w[at:end])
		w[at] = 0
		w[recPresent] |= 1 << bit
	}
	return r
}
