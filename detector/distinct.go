package detector

import (
	"cmp"
	"slices"
)

// distinct fires when more than threshold values of a field lie in one window. Its
// cell is a setRef | edge << 56.
//
// Of each value the set holds runs: first and last occurrence, no further apart
// than the window. Occurrences between the two change nothing, since a window
// that holds one of them holds the first or the last as well. A value has a second
// run only where an event may still arrive late between its occurrences.
var distinct = kind{extras: 1, observe: observeDistinct, half: halfDistinct, banned: bannedDistinct}

// run is one run of a value. old: the value has a newer run.
type run struct {
	hash        uint64
	first, last int64
	old         bool
}

// extended gives the run after an occurrence at t ≥ last, or split if the run must
// stay as it is and a new one begin. watermark is the oldest time that may arrive.
func (v run) extended(t, watermark int64, s span) (next run, split bool) {
	if v.last <= watermark {
		v.first = v.last // of what no late event can precede, only the newest matters
	}
	if v.last < watermark-int64(s) {
		v.first = t
	}
	if t-v.first > int64(s) {
		return v, true
	}
	v.last = t
	return v, false
}

func observeDistinct(e *Engine, o *occurrence, r *rule) finding {
	at := o.rec.cell(r.bit)
	set, state := setRef(o.rec[at]&setMask), laneCell(o.rec[at]).edge()
	wm := e.clock.watermark()
	var count int
	inOrder := set == 0 || o.newest || o.time >= e.arena.newestValue(set)
	if inOrder {
		set, count = e.observeValue(set, o.value, o.time, wm, r)
	} else {
		set, count = e.observeLateValue(set, o.value, o.time, wm, r)
	}
	fire, next := state.judge(int64(count) > r.Threshold, inOrder, r.Every, o.pardoned)
	o.rec[at] = uint64(set) | uint64(next)<<edgeAt
	if !fire {
		return finding{}
	}
	from := o.time
	for _, v := range e.arena.runs(e.runs[:0], set) {
		if v.last >= o.time-int64(r.span) && v.last <= o.time {
			from = min(from, max(v.first, o.time-int64(r.span)))
		}
	}
	return finding{fire: true, count: count, from: from}
}

// observeValue adds an occurrence that is the set's newest and gives the set's
// place and the number of values in the window that ends with it. Where the set
// holds too few runs for a verdict the number is only known not to be over the
// threshold.
func (e *Engine) observeValue(set setRef, hash uint64, t, wm int64, r *rule) (setRef, int) {
	s := r.span
	if set == 0 {
		set = e.arena.newSmallSet()
	}
	for {
		words := e.arena.at(set.ref())
		var count int
		var full bool
		switch {
		case set.table() > 0:
			full = tableSet(words).observe(hash, t, wm, s, set.table(), int(r.Threshold))
		case smallSet(words).isLarge():
			count, full = largeSet(words).observe(hash, t, wm, s)
		default:
			count, full = smallSet(words).observe(hash, t, wm, s)
		}
		if !full {
			return set, count
		}
		runs := thinRuns(e.arena.runs(e.runs[:0], set), wm, s, r.needed())
		set = e.arena.rebuilt(set, runs, len(runs)+1, int(r.Threshold), t-int64(s))
		e.runs = runs
	}
}

// observeLateValue adds an occurrence older than the set's newest and gives the
// largest number of values over the windows that contain it.
func (e *Engine) observeLateValue(set setRef, hash uint64, t, wm int64, r *rule) (setRef, int) {
	s := r.span
	runs := e.arena.runs(e.runs[:0], set)
	newest := int64(0)
	for _, v := range runs {
		newest = max(newest, v.last)
	}
	runs = withLate(runs, hash, t, s)
	count := e.peakValues(runs, moment{t, hash}, s)
	if len(runs) > 4*r.needed()+64 {
		runs = thinRuns(runs, wm, s, r.needed())
	}
	set = e.arena.rebuilt(set, runs, len(runs), int(r.Threshold), newest-int64(s))
	e.runs = runs
	return set, count
}

// withLate adds an occurrence to the runs, in whatever place it has among them.
func withLate(runs []run, hash uint64, t int64, s span) []run {
	newest := -1
	joined := false
	for i := range runs {
		v := &runs[i]
		if v.hash != hash {
			continue
		}
		switch {
		case joined:
		case v.first <= t && t <= v.last:
			joined = true
		case t < v.first && v.last-t <= int64(s):
			v.first, joined = t, true
		case t > v.last && t-v.first <= int64(s):
			v.last, joined = t, true
		}
		if newest < 0 || v.last > runs[newest].last {
			newest = i
		}
	}
	if !joined {
		runs = append(runs, run{hash: hash, first: t, last: t})
		if newest < 0 || t > runs[newest].last {
			newest = len(runs) - 1
		}
	}
	for i := range runs {
		if runs[i].hash == hash {
			runs[i].old = i != newest
		}
	}
	return runs
}

// peakValues gives the largest number of values over the windows that contain the
// occurrence at hand and end at it or at one of the runs' ends.
func (e *Engine) peakValues(runs []run, hand moment, s span) int {
	t := hand.time
	seen := append(e.moments[:0], hand)
	for _, v := range runs {
		if v.last < t-int64(s) || v.first > t+int64(s) {
			continue
		}
		seen = append(seen, moment{v.first, v.hash})
		if v.last != v.first {
			seen = append(seen, moment{v.last, v.hash})
		}
	}
	slices.SortFunc(seen, func(a, b moment) int { return cmp.Compare(a.time, b.time) })
	e.moments = seen
	clear(e.tally)
	best, lo := 0, 0
	for hi, m := range seen {
		e.tally[m.hash]++
		if m.time < t {
			continue
		}
		if m.time > t+int64(s) {
			break
		}
		if hi+1 < len(seen) && seen[hi+1].time == m.time {
			continue // the window ends with all of one instant
		}
		for ; seen[lo].time < m.time-int64(s); lo++ {
			if e.tally[seen[lo].hash]--; e.tally[seen[lo].hash] == 0 {
				delete(e.tally, seen[lo].hash)
			}
		}
		best = max(best, len(e.tally))
	}
	return best
}

// moment is one occurrence of a value.
type moment struct {
	time int64
	hash uint64
}

// thinRuns drops runs that no verdict can depend on any more, on the grounds that
// Engine.compact gives: dead ones, those at or before the watermark beyond the
// newest needed, and those amid a stretch no longer than the window that has needed
// values ended before and as many begun after them.
func thinRuns(runs []run, wm int64, s span, needed int) []run {
	runs = slices.DeleteFunc(runs, func(v run) bool { return v.last < wm-int64(s) })
	if len(runs) <= needed {
		return runs // as they are while a set grows: sorting them took 40 ns an event
	}
	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.last, b.last) })
	settled, _ := slices.BinarySearchFunc(runs, wm+1, func(v run, t int64) int { return cmp.Compare(v.last, t) })
	keep := 0
	for values := 0; settled > keep; {
		if values == needed {
			runs = slices.Delete(runs, 0, settled)
			break
		}
		if settled--; !runs[settled].old {
			values++
		}
	}
	late := slices.IndexFunc(runs, func(v run) bool { return v.last > wm })
	if late < 0 || len(runs)-late <= 2*needed {
		return runs
	}
	out := runs[:late]
	for rest := runs[late:]; len(rest) > 0; {
		start, n := rest[0].first, 0
		for n < len(rest) && rest[n].last-min(start, rest[n].first) <= int64(s) {
			start = min(start, rest[n].first)
			n++
		}
		if n == 0 {
			n = 1 // cannot be: a run is no longer than the window
		}
		out = append(out, thinStretch(rest[:n:n], needed)...)
		rest = rest[n:]
	}
	return out
}

// thinStretch keeps, of runs ordered by last, those that end no later than the
// needed-th end, those that begin no earlier than the needed-th last beginning, and
// those that reach into either.
func thinStretch(runs []run, needed int) []run {
	if len(runs) <= 2*needed {
		return runs
	}
	firsts := make([]int64, len(runs))
	for i, v := range runs {
		firsts[i] = v.first
	}
	slices.Sort(firsts)
	early, late := runs[needed-1].last, firsts[len(firsts)-needed]
	return slices.DeleteFunc(slices.Clone(runs), func(v run) bool { return v.first > early && v.last < late && !v.old })
}

func halfDistinct(e *Engine, rec record, r *rule) bool {
	cell := rec[rec.cell(r.bit)]
	set := setRef(cell & setMask)
	return laneCell(cell).edge() != armed || set != 0 && 2*int64(e.arena.size(set)) > r.Threshold
}

func bannedDistinct(e *Engine, rec record, r *rule) {
	at := rec.cell(r.bit)
	if !r.ResetOnBan {
		rec[at] = rec[at]&(1<<edgeAt-1) | uint64(pending)<<edgeAt
		return
	}
	if set := setRef(rec[at] & setMask); set != 0 {
		e.arena.releaseSet(set)
	}
	rec[at] = 0
}
