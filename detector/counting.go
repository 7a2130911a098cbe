package detector

// counting is usage, frequency and return_pattern: more than threshold of the
// events that the rule sees in a window. What tells the three apart, which events
// they see and how the threshold is written, is settled when rules are read.
var counting = kind{lanes: 1, observe: observeCount, half: halfCount, banned: bannedLanes}

func observeCount(_ *Engine, o *occurrence, r *rule) finding {
	at := o.rec.cell(r.bit)
	cell := laneCell(o.rec[at])
	log, base := o.log, o.base
	cursor, count := cell.cursor(), cell.count()
	if o.last {
		count++
	}
	inOrder := o.last || newestOf(log, r.bit) == o.at
	found := 0
	if inOrder {
		cursor, count = advance(log, cursor, count, limit(o.time-int64(r.span), base), r.bit)
		found = count
	} else {
		found = peak(log, o.at, r.bit, r.span, cursor, count)
	}
	fire, next := cell.edge().judge(int64(found) > r.Threshold, inOrder, r.Every, o.pardoned)
	o.rec[at] = makeCell(count, cursor, next)
	if !fire {
		return finding{}
	}
	if inOrder {
		return finding{fire: true, count: found, from: firstFrom(log, cursor, r.bit, base)}
	}
	return finding{fire: true, count: found, from: oldest(log, o, r.bit, r.span, base)}
}

// firstFrom gives the time of a lane's first entry from the cursor on.
func firstFrom(log []uint64, cursor int, lane uint, base int64) int64 {
	for log[cursor]>>lane&1 == 0 {
		cursor++
	}
	return base + int64(log[cursor]>>laneBits)
}

// oldest gives the time of a lane's first event in the window that ends at o.
func oldest(log []uint64, o *occurrence, lane uint, s span, base int64) int64 {
	lim := limit(o.time-int64(s), base)
	from := o.time
	for i := o.at; i >= 0 && log[i] >= lim; i-- {
		if log[i]>>lane&1 != 0 {
			from = base + int64(log[i]>>laneBits)
		}
	}
	return from
}

func halfCount(_ *Engine, rec record, r *rule) bool {
	c := laneCell(rec[rec.cell(r.bit)])
	return c.edge() != armed || 2*int64(c.count()) > r.Threshold
}

// bannedLanes is the banned of kinds that count in the log.
func bannedLanes(_ *Engine, rec record, r *rule) {
	for _, lane := range [2]uint{r.bit, r.matching} {
		if !rec.has(lane) {
			continue // a ratio of which nothing has matched yet
		}
		cell := &rec[rec.cell(lane)]
		c := laneCell(*cell)
		if !r.ResetOnBan {
			*cell = makeCell(c.count(), c.cursor(), pending)
			continue
		}
		log := rec.log()
		for i := range log {
			log[i] &^= 1 << lane
		}
		*cell = makeCell(0, 0, armed)
	}
}
