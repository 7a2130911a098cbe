package detector

// ratio fires when more than a share of the events it sees match, once it has seen
// min_volume of them in the window. It is judged on every event it sees, in the
// order of arrival: a late event is judged in the window that ends with it.
var ratio = kind{lanes: 2, observe: observeRatio, half: halfRatio, banned: bannedLanes}

func observeRatio(_ *Engine, o *occurrence, r *rule) finding {
	log, base := o.log, o.base
	seenAt := o.rec.cell(r.bit)
	seenCell := laneCell(o.rec[seenAt])
	seen, seenFrom := seenCell.count(), seenCell.cursor()
	matching, matchFrom, matchAt := 0, 0, -1 // no cell before something has matched
	if o.rec.has(r.matching) {
		matchAt = o.rec.cell(r.matching)
		cell := laneCell(o.rec[matchAt])
		matching, matchFrom = cell.count(), cell.cursor()
	}
	if o.last {
		seen++
		matching += int(log[o.at] >> r.matching & 1)
	}
	lim := limit(o.time-int64(r.span), base)
	inOrder := o.last || newestOf(log, r.bit) == o.at
	if inOrder {
		seenFrom, seen = advance(log, seenFrom, seen, lim, r.bit)
		matchFrom, matching = advance(log, matchFrom, matching, lim, r.matching)
	}
	inSeen, inMatching := seen, matching
	if !inOrder {
		inSeen = endingAt(log, o.at, r.bit, lim, seenFrom, seen)
		inMatching = endingAt(log, o.at, r.matching, lim, matchFrom, matching)
	}
	over := int64(inSeen) >= r.MinVolume && r.Share.Over(int64(inMatching), int64(inSeen))
	state := seenCell.edge()
	if inOrder && inSeen == 1 {
		state = armed // alone in its window: the rule starts anew, as for a subject never seen
	}
	fire, next := state.judge(over, inOrder, r.Every, o.pardoned)
	o.rec[seenAt] = makeCell(seen, seenFrom, next)
	if matchAt >= 0 {
		o.rec[matchAt] = makeCell(matching, matchFrom, armed)
	}
	if !fire {
		return finding{}
	}
	found := finding{fire: true, count: inMatching, of: inSeen}
	if inOrder {
		found.from = firstFrom(log, seenFrom, r.bit, base)
	} else {
		found.from = oldest(log, o, r.bit, r.span, base)
	}
	return found
}

func halfRatio(_ *Engine, rec record, r *rule) bool {
	seen, matching := laneCell(rec[rec.cell(r.bit)]), 0
	if rec.has(r.matching) {
		matching = laneCell(rec[rec.cell(r.matching)]).count()
	}
	return seen.edge() != armed || 2*int64(seen.count()) > r.MinVolume && r.Share.Over(2*int64(matching), int64(seen.count()))
}

// endingAt counts a lane's entries from lim to the entry at p, given its count over
// [cursor, end of the log).
func endingAt(log []uint64, p int, lane uint, lim uint64, cursor, count int) int {
	for i := len(log) - 1; i > p; i-- {
		if i >= cursor {
			count -= int(log[i] >> lane & 1)
		}
	}
	cursor, count = rewind(log, min(cursor, p+1), count, lim, lane)
	_, count = advance(log[:p+1], cursor, count, lim, lane)
	return count
}
