package detector

import (
	"bytes"

	"github.com/apiwarden/apiwarden/schemas"
)

// walk fires on more than threshold steps in a window: a step is an event with an id that
// the client has not shown and that lies next to one that it has (trail). It always counts
// by endpoint, since the ids of different endpoints have nothing to do with each other.
// Steps are counted in the log, as usage counts events; what is no step does not get there.
//
// Whether an event is a step is decided when it arrives, by what arrived before; counted
// it is at its own time.
var walk = kind{lanes: 1, extras: trailWords, counts: isStep, observe: observeCount, half: halfCount, banned: bannedLanes}

func isStep(rec record, r *rule, id uint64, t int64) bool {
	at := rec.cell(r.extra)
	return trail(rec[at:at+trailWords]).step(id, t, r.span, uint64(r.MaxStep))
}

// id gives the id that a walk rule sees in an event, if there is one.
func (r *rule) id(ev *schemas.Event, s *Scratch) (uint64, bool) {
	if r.Field == nil {
		return pathID(ev.Path)
	}
	text, ok := r.Field.Value(ev, s)
	if !ok {
		return 0, false
	}
	return wholeNumber(text)
}

// pathID gives the last part of a path that is a whole number.
func pathID(path []byte) (uint64, bool) {
	for len(path) > 0 {
		at := bytes.LastIndexByte(path, '/') + 1
		if id, ok := wholeNumber(path[at:]); ok {
			return id, true
		}
		path = path[:max(0, at-1)]
	}
	return 0, false
}

// mostDigits is how many digits a whole number has that fits 64 bits whatever they are.
const mostDigits = 19

// wholeNumber reads digits alone.
func wholeNumber(text []byte) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > mostDigits {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, true
}
