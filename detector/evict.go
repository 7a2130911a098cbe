package detector

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// evictedShare is the part (one in so many) of a shard's bound that is made free at once: so the look
// through the shard is spread over many new records.
const evictedShare = 8

// candidate is a record that may be evicted.
type candidate struct {
	newest int64
	hash   uint64 // of the key: an order among records of one instant
	words  int64
	ref    ref
	keep   bool // over half of a threshold, or silent since a verdict
}

// evict drops records until a shard is well under its bound: those that have been idle
// for longest first, and of those over half a threshold none as long as there are
// others. Bans stay. It goes by what the shard holds alone, so that judging the same
// log once more evicts the same records.
func (e *Engine) evict(s *shard) {
	live := e.arena.live
	if dead := e.clock.watermark() - e.program.longest; dead > s.sweep.floor {
		e.sweepShard(s, dead, 0)
		e.settle(s, live)
		live = e.arena.live
	}
	if s.bytes() <= e.opts.MaxBytes {
		return
	}
	all := e.candidates[:0]
	for slot, x := range s.slots {
		if x == 0 {
			continue
		}
		e.prefetchSlot(s, slot+sweepAhead)
		r := ref(uint32(x))
		rec := record(e.arena.at(r))
		words := classWords(rec.class()) + 2
		e.eachSet(rec, func(_ int, set setRef) { words += classWords(smallSet(e.arena.at(set.ref())).class()) })
		all = append(all, candidate{newest: rec.newest(), hash: e.hashOf(rec.key(), rec.bundle()), words: int64(words), ref: r, keep: e.worthKeeping(rec)})
	}
	e.candidates = all
	excess := (s.bytes() - e.opts.MaxBytes + e.opts.MaxBytes/evictedShare) / 8
	before := e.stats.Subjects
	for _, keep := range [2]bool{false, true} {
		excess = takeOldest(all, keep, excess, func(c candidate) {
			rec := record(e.arena.at(c.ref))
			if s.copy != nil {
				e.copyBefore(s, rec)
			}
			rec[recNewest] = longAgo
		})
	}
	e.sweepShard(s, math.MinInt64+1, 0)
	e.settle(s, live)
	e.stats.Evicted += uint64(before - e.stats.Subjects)
}

// longAgo marks a record to be dropped.
const longAgo = uint64(1) << 63

// takeOldest takes candidates, the oldest first, until their words are as many as asked
// for, and gives how many words are still wanted. It sorts only those near the limit.
func takeOldest(all []candidate, keep bool, words int64, take func(candidate)) int64 {
	const buckets = 1 << 10
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for i := range all {
		if all[i].keep == keep {
			lo, hi = min(lo, all[i].newest), max(hi, all[i].newest)
		}
	}
	if words <= 0 || lo > hi {
		return words
	}
	shift := max(0, bits.Len64(uint64(hi-lo))-10)
	var sums [buckets]int64
	for i := range all {
		if all[i].keep == keep {
			sums[(all[i].newest-lo)>>shift] += all[i].words
		}
	}
	last, sum := 0, int64(0)
	for ; last < buckets-1 && sum+sums[last] < words; last++ {
		sum += sums[last]
	}
	var near []candidate
	for i := range all {
		switch at := int(all[i].newest-lo) >> shift; {
		case all[i].keep != keep || at > last:
		case at == last:
			near = append(near, all[i])
		default:
			take(all[i])
			words -= all[i].words
		}
	}
	slices.SortFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.newest, b.newest), cmp.Compare(a.hash, b.hash))
	})
	for i := range near {
		if words <= 0 {
			break
		}
		take(near[i])
		words -= near[i].words
	}
	return words
}

// worthKeeping says whether a rule is over half its threshold in the window that ends
// now, or keeps silent because it has fired.
func (e *Engine) worthKeeping(rec record) bool {
	if rec.bundle() == nameBundle {
		return false
	}
	b, idle := e.program.bundles[rec.bundle()], e.clock.newest-rec.newest()
	for _, r := range b.rules {
		if rec.has(r.bit) && idle <= int64(r.span) && r.kind.half(e, rec, r) {
			return true
		}
	}
	return false
}
