package detector

// match fires on an event that its condition or pattern accepts, unless the rule
// fired for the subject within the window before or after it. Its cell is the time
// of its newest verdict.
var match = kind{extras: 1, observe: observeMatch, half: halfMatch, banned: bannedMatch}

// matchCell is time<<2 | whether the rule banned<<1 | whether it has fired.
type matchCell uint64

const (
	matchFired  matchCell = 1
	matchBanned matchCell = 2
)

func (c matchCell) time() int64 { return int64(c >> 2) }

// silent says whether the rule's newest verdict keeps it silent at time. A verdict
// that banned keeps it silent only before: what comes after the ban fires again, unless
// the ban was ended by hand.
func (c matchCell) silent(time int64, s span, pardoned bool) bool {
	if c&matchFired == 0 {
		return false
	}
	since := time - c.time()
	if since > 0 && c&matchBanned != 0 && !pardoned {
		return false
	}
	return since <= int64(s) && -since <= int64(s)
}

func observeMatch(_ *Engine, o *occurrence, r *rule) finding {
	at := o.rec.cell(r.bit)
	cell := matchCell(o.rec[at])
	if !r.Every && cell.silent(o.time, r.span, o.pardoned) {
		return finding{}
	}
	if cell&matchFired == 0 || o.time >= cell.time() {
		o.rec[at] = uint64(matchCell(o.time)<<2 | matchFired)
	}
	return finding{fire: true, count: 1, from: o.time}
}

func halfMatch(_ *Engine, rec record, r *rule) bool {
	return matchCell(rec[rec.cell(r.bit)])&matchFired != 0
}

func bannedMatch(_ *Engine, rec record, r *rule) {
	at := rec.cell(r.bit)
	if r.ResetOnBan {
		rec[at] = 0
		return
	}
	rec[at] |= uint64(matchBanned)
}
