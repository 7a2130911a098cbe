package detector

// tableSet is the form of a set of more than 16 runs, of values too few to be over
// the threshold: then nobody asks how many lie in the window, and an occurrence
// touches nothing but the place of its value. Its capacity stands in the rule's
// cell, so that not even the block's header is read.
//
//	1 + 3i   hash, first, last<<2 | old<<1 | 1; all zero: empty
type tableSet []uint64

const tableRun = 3

func tableWords(logCapacity int) int { return 1 + tableRun<<logCapacity }

// tableFor gives the capacity (its logarithm) for n runs: at most 3/4 are
// used, for a look that ends in vain to touch two cache lines and not four.
func tableFor(n int) int {
	log := 5
	for 3<<log < 4*n {
		log++
	}
	return log
}

func (w tableSet) n() int { return int(uint32(w[0])) }

func (w tableSet) run(at int) run {
	last := w[at+2]
	return run{hash: w[at], first: int64(w[at+1]), last: int64(last >> 2), old: last&2 != 0}
}

func (w tableSet) put(at int, v run) {
	last := uint64(v.last)<<2 | 1
	if v.old {
		last |= 2
	}
	w[at], w[at+1], w[at+2] = v.hash, uint64(v.first), last
}

// observe adds an occurrence that is the set's newest. full: there is no room for
// another run, or there would be more than most of them; nothing was added.
//
// A dead run that stands in the way of a new value gives its place to it. So a set
// whose values come and go is seldom built anew (40 ns an event).
func (w tableSet) observe(hash uint64, t, wm int64, s span, logCapacity, most int) (full bool) {
	dead := uint64(max(0, wm-int64(s))) << 2
	mask, free := 1<<logCapacity-1, -1
	known := -1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		at := 1 + tableRun*i
		last := w[at+2]
		if last == 0 {
			if free < 0 {
				free = at
			}
			break
		}
		if w[at] == hash && last&2 == 0 {
			known = at
			break
		}
		if free < 0 && last < dead {
			free = at
		}
	}
	if known >= 0 {
		v, split := w.run(known).extended(t, wm, s)
		if !split {
			w.put(known, v)
			return false
		}
		free = w.empty(hash, logCapacity)
	}
	if w[free+2] == 0 {
		n := w.n()
		if n >= most || 4*(n+1) > 3<<logCapacity {
			return true
		}
		w[0]++
	}
	if known >= 0 {
		v := w.run(known)
		v.old = true
		w.put(known, v)
	}
	w.put(free, run{hash: hash, first: t, last: t})
	return false
}

func (w tableSet) empty(hash uint64, logCapacity int) int {
	mask := 1<<logCapacity - 1
	i := int(hash) & mask
	for w[1+tableRun*i+2] != 0 {
		i = (i + 1) & mask
	}
	return 1 + tableRun*i
}

// runs appends the runs in no order.
func (w tableSet) runs(dst []run, logCapacity int) []run {
	for i := range 1 << logCapacity {
		if at := 1 + tableRun*i; w[at+2] != 0 {
			dst = append(dst, w.run(at))
		}
	}
	return dst
}

// build fills the set.
func (w tableSet) build(runs []run, logCapacity, class int) {
	clear(w[:tableWords(logCapacity)])
	w[0] = uint64(len(runs)) | uint64(class)<<32
	for _, v := range runs {
		w.put(w.empty(v.hash, logCapacity), v)
	}
}
