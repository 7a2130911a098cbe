package detector

import (
	"cmp"
	"slices"
)

// A set of values is one block of an arena, in one of three forms. Word 0 of each is
// n (32 bits) | size class << 32 | large << 40.
//
// The small form, up to 16 runs, is looked through as a whole:
//
//	1 + 3i   hash, first, last<<1 | old
//
// The table (valuetable.go) holds more, as long as they are too few for a verdict.
// The large form (valuelist.go) also knows how many values lie in the window,
// without looking at them.
const (
	setLarge  = uint64(1) << 40
	smallSize = 16
	smallRun  = 3
)

// setRef is where a set is: the ref of its block | the table's capacity, as a power
// of two, << 32; 0 stands for the other forms, and 0 as a whole for no set.
type setRef uint64

const setMask = 1<<38 - 1

func (s setRef) ref() ref   { return ref(uint32(s)) }
func (s setRef) table() int { return int(s >> 32) }

type smallSet []uint64

func (w smallSet) n() int        { return int(uint32(w[0])) }
func (w smallSet) class() int    { return int(w[0] >> 32 & 0xff) }
func (w smallSet) isLarge() bool { return w[0]&setLarge != 0 }
func (w smallSet) setN(n int)    { w[0] = w[0]&^0xffffffff | uint64(n) }
func (w smallSet) room() int     { return min(smallSize, (classWords(w.class())-1)/smallRun) }

func (w smallSet) run(i int) run {
	e := w[1+smallRun*i : 4+smallRun*i]
	return run{hash: e[0], first: int64(e[1]), last: int64(e[2] >> 1), old: e[2]&1 != 0}
}

func (w smallSet) put(i int, v run) {
	e := w[1+smallRun*i : 4+smallRun*i]
	e[0], e[1], e[2] = v.hash, uint64(v.first), packLast(v)
}

func packLast(v run) uint64 {
	last := uint64(v.last) << 1
	if v.old {
		last |= 1
	}
	return last
}

// observe adds an occurrence that is the set's newest and counts the values in the
// window that ends with it. full: there is no room, nothing was added.
func (w smallSet) observe(hash uint64, t, wm int64, s span) (count int, full bool) {
	known := -1
	for i := 0; i < w.n(); i++ {
		last := int64(w[3+smallRun*i] >> 1)
		if last < wm-int64(s) {
			n := w.n() - 1
			w.put(i, w.run(n))
			w.setN(n)
			i--
			continue
		}
		if w[3+smallRun*i]&1 != 0 {
			continue
		}
		if w[1+smallRun*i] == hash {
			known = i
		} else if last >= t-int64(s) {
			count++
		}
	}
	count++
	fresh := run{hash: hash, first: t, last: t}
	if known >= 0 {
		v, split := w.run(known).extended(t, wm, s)
		if !split {
			w.put(known, v)
			return count, false
		}
		if w.n() == w.room() {
			return 0, true
		}
		v.old = true
		w.put(known, v)
	} else if w.n() == w.room() {
		return 0, true
	}
	w.put(w.n(), fresh)
	w.setN(w.n() + 1)
	return count, false
}

// newSmallSet makes an empty set with room for two runs. Beginning with one would
// leave a block behind for each client that comes back.
func (a *arena) newSmallSet() setRef {
	r, class := a.alloc(1 + 2*smallRun)
	a.at(r)[0] = uint64(class) << 32
	return setRef(r)
}

// releaseSet gives a set's block back.
func (a *arena) releaseSet(s setRef) { a.release(s.ref(), smallSet(a.at(s.ref())).class()) }

// size gives how many runs a set holds.
func (a *arena) size(s setRef) int { return int(uint32(a.at(s.ref())[0])) }

// newestValue gives the newest occurrence in a set.
func (a *arena) newestValue(s setRef) int64 {
	w := smallSet(a.at(s.ref()))
	newest := int64(0)
	switch {
	case s.table() > 0:
		for _, v := range tableSet(w).runs(nil, s.table()) {
			newest = max(newest, v.last)
		}
	case w.isLarge():
		return largeSet(w).newest()
	default:
		for i := range w.n() {
			newest = max(newest, w.run(i).last)
		}
	}
	return newest
}

// runs appends a set's runs to dst.
func (a *arena) runs(dst []run, s setRef) []run {
	w := smallSet(a.at(s.ref()))
	if s.table() > 0 {
		return tableSet(w).runs(dst, s.table())
	}
	if w.isLarge() {
		return largeSet(w).runs(dst)
	}
	for i := range w.n() {
		dst = append(dst, w.run(i))
	}
	return dst
}

// rebuilt replaces a set by one that holds the runs and has room for want of them,
// in the form that fits: a verdict takes more values than threshold, and lo is where
// the window of the newest occurrence begins.
func (a *arena) rebuilt(old setRef, runs []run, want, threshold int, lo int64) setRef {
	a.releaseSet(old)
	if want > smallSize && 4*want < 3*threshold {
		log := tableFor(want)
		r, class := a.alloc(tableWords(log))
		tableSet(a.at(r)).build(runs, log, class)
		return setRef(r) | setRef(log)<<32
	}
	capacity := 2
	for capacity < want {
		capacity *= 2
	}
	if capacity > smallSize {
		slices.SortFunc(runs, func(x, y run) int { return cmp.Compare(x.last, y.last) })
		r, class := a.alloc(largeWordsFor(capacity))
		largeSet(a.at(r)).build(runs, capacity, class, lo)
		return setRef(r)
	}
	r, class := a.alloc(1 + smallRun*capacity)
	w := smallSet(a.at(r))
	w[0] = uint64(len(runs)) | uint64(class)<<32
	for i, v := range runs {
		w.put(i, v)
	}
	return setRef(r)
}
