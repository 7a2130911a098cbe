package detector

// largeSet is the form of a set of more than 16 runs: runs in a list ordered by
// last occurrence, with a hash index of each value's newest run. An occurrence
// costs the same whether the set holds twenty values or ten thousand.
//
//	1        head | tail << 32       numbers of runs, from 1; 0 is none
//	2        edge | count << 32      the first run in the window, values from there on
//	3        free | capacity << 32   list of unused runs
//	4 + 4i   hash, first, last<<1 | old, prev | next << 32
//	then     the index: two numbers a word, linear probing
type largeSet []uint64

const (
	largeHeader = 4
	largeRun    = 4
)

// largeWordsFor gives the words of a large set for a capacity, a power of two.
func largeWordsFor(capacity int) int { return largeHeader + largeRun*capacity + capacity }

func low(w uint64) uint32         { return uint32(w) }
func high(w uint64) uint32        { return uint32(w >> 32) }
func setLow(w *uint64, v uint32)  { *w = *w&^0xffffffff | uint64(v) }
func setHigh(w *uint64, v uint32) { *w = *w&0xffffffff | uint64(v)<<32 }
func (w largeSet) capacity() int  { return int(high(w[3])) }
func (w largeSet) at(i uint32) []uint64 {
	o := largeHeader + largeRun*(int(i)-1)
	return w[o : o+largeRun]
}
func (w largeSet) last(i uint32) int64  { return int64(w.at(i)[2] >> 1) }
func (w largeSet) old(i uint32) bool    { return w.at(i)[2]&1 != 0 }
func (w largeSet) next(i uint32) uint32 { return high(w.at(i)[3]) }
func (w largeSet) newest() int64        { return w.last(high(w[1])) }
func (w largeSet) addCount(by int)      { setHigh(&w[2], uint32(int(high(w[2]))+by)) }
func (w largeSet) index() []uint64 {
	o := largeHeader + largeRun*w.capacity()
	return w[o : o+w.capacity()]
}
func (w largeSet) indexMask() int       { return 2*w.capacity() - 1 }
func (w largeSet) slot(p int) uint32    { return uint32(w.index()[p/2] >> (32 * (p & 1))) }
func (w largeSet) home(hash uint64) int { return int(hash) & w.indexMask() }

func (w largeSet) setSlot(p int, v uint32) {
	word := &w.index()[p/2]
	if p&1 == 0 {
		setLow(word, v)
	} else {
		setHigh(word, v)
	}
}

// observe adds an occurrence that is the set's newest and counts the values in the
// window that ends with it. full: there is no room, nothing was added.
func (w largeSet) observe(hash uint64, t, wm int64, s span) (count int, full bool) {
	lo := t - int64(s)
	w.slide(lo)
	for i := low(w[1]); i != 0 && w.last(i) < wm-int64(s); i = low(w[1]) {
		w.drop(i)
	}
	p := w.find(hash)
	i := w.slot(p)
	if i == 0 {
		if low(w[3]) == 0 {
			return 0, true
		}
		w.setSlot(p, w.push(run{hash: hash, first: t, last: t}))
		return int(high(w[2])), false
	}
	e := w.at(i)
	v, split := run{hash: hash, first: int64(e[1]), last: w.last(i)}.extended(t, wm, s)
	if split && low(w[3]) == 0 {
		return 0, true
	}
	if w.last(i) >= lo {
		w.addCount(-1) // counted again below, as the newest of the list
	}
	if split {
		e[1], e[2] = uint64(v.first), e[2]|1
		w.setSlot(p, w.push(run{hash: hash, first: t, last: t}))
		return int(high(w[2])), false
	}
	w.unlink(i)
	e[1], e[2] = uint64(v.first), packLast(v)
	w.link(i)
	return int(high(w[2])), false
}

// slide moves the edge of the window up to lo.
func (w largeSet) slide(lo int64) {
	for i := low(w[2]); i != 0 && w.last(i) < lo; i = low(w[2]) {
		if !w.old(i) {
			w.addCount(-1)
		}
		setLow(&w[2], w.next(i))
	}
}

// push takes an unused run, fills it and puts it at the end of the list.
func (w largeSet) push(v run) uint32 {
	i := low(w[3])
	e := w.at(i)
	setLow(&w[3], high(e[3]))
	e[0], e[1], e[2] = v.hash, uint64(v.first), packLast(v)
	w.link(i)
	w[0]++
	return i
}

// link puts a run at the end of the list, inside the window.
func (w largeSet) link(i uint32) {
	tail := high(w[1])
	w.at(i)[3] = uint64(tail)
	if tail != 0 {
		setHigh(&w.at(tail)[3], i)
	} else {
		setLow(&w[1], i)
	}
	setHigh(&w[1], i)
	if low(w[2]) == 0 {
		setLow(&w[2], i)
	}
	if !w.old(i) {
		w.addCount(1)
	}
}

func (w largeSet) unlink(i uint32) {
	prev, next := low(w.at(i)[3]), w.next(i)
	if prev != 0 {
		setHigh(&w.at(prev)[3], next)
	} else {
		setLow(&w[1], next)
	}
	if next != 0 {
		setLow(&w.at(next)[3], prev)
	} else {
		setHigh(&w[1], prev)
	}
	if low(w[2]) == i {
		setLow(&w[2], next)
	}
}

// drop removes a run that lies before the window.
func (w largeSet) drop(i uint32) {
	w.unlink(i)
	if !w.old(i) {
		w.unindex(w.find(w.at(i)[0]))
	}
	w.at(i)[3] = uint64(low(w[3])) << 32
	setLow(&w[3], i)
	w[0]--
}

// find gives the index position of a value's newest run, or where it belongs.
func (w largeSet) find(hash uint64) int {
	p := w.home(hash)
	for {
		i := w.slot(p)
		if i == 0 || w.at(i)[0] == hash {
			return p
		}
		p = (p + 1) & w.indexMask()
	}
}

func (w largeSet) unindex(p int) {
	gap := p
	for p = (p + 1) & w.indexMask(); w.slot(p) != 0; p = (p + 1) & w.indexMask() {
		home := w.home(w.at(w.slot(p))[0])
		if (p-home)&w.indexMask() >= (p-gap)&w.indexMask() {
			w.setSlot(gap, w.slot(p))
			gap = p
		}
	}
	w.setSlot(gap, 0)
}

// outside says how many runs lie before the window.
func (w largeSet) outside() int {
	n := 0
	for i := low(w[1]); i != 0 && i != low(w[2]); i = w.next(i) {
		n++
	}
	return n
}

// runs appends the runs, by last occurrence.
func (w largeSet) runs(dst []run) []run {
	for i := low(w[1]); i != 0; i = w.next(i) {
		e := w.at(i)
		dst = append(dst, run{hash: e[0], first: int64(e[1]), last: w.last(i), old: w.old(i)})
	}
	return dst
}

// build fills the set with runs ordered by last; lo is where the window begins.
func (w largeSet) build(runs []run, capacity, class int, lo int64) {
	w.fill(runs, capacity, class)
	w.slide(lo)
}

// restore fills the set as it was: so many of the runs lie before the window.
func (w largeSet) restore(runs []run, capacity, class, outside int) {
	w.fill(runs, capacity, class)
	for range outside {
		i := low(w[2])
		if !w.old(i) {
			w.addCount(-1)
		}
		setLow(&w[2], w.next(i))
	}
}

func (w largeSet) fill(runs []run, capacity, class int) {
	clear(w[:largeWordsFor(capacity)])
	w[0] = uint64(class)<<32 | setLarge
	setHigh(&w[3], uint32(capacity))
	for i := capacity; i > 0; i-- {
		w.at(uint32(i))[3] = uint64(low(w[3])) << 32
		setLow(&w[3], uint32(i))
	}
	for _, v := range runs {
		i := w.push(v)
		if !v.old {
			w.setSlot(w.find(v.hash), i)
		}
	}
}
