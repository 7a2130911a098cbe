package detector

import "math/bits"

// trail is the ids that a client has shown last at an endpoint, so that a walk through
// them is told from a choice among them. It remembers which ids of up to five stretches
// it has seen, a stretch being 64 ids from a multiple of 64 on: a client that asks for
// the same few hundred neighbours again and again, as a display does, walks once and not
// on every round, which a list of as many single ids would forget before it is through.
//
// In words:
//
//	0      newest event time at which an id was shown, µs
//	1, 2   the stretch that an id was shown of last: its number, and a bit for each id of
//	       it that was shown
//	3 ...  those before; none where no bit is set
type trail []uint64

const (
	stretchIDs = 64
	stretches  = 5
	trailWords = 1 + 2*stretches
)

// step notes that an id was shown at t and says whether that is a step: the trail does not
// have the id, but one that lies no further than most from it. A trail on which nothing
// was shown for longer than the window is forgotten.
func (m trail) step(id uint64, t int64, s span, most uint64) bool {
	if t-int64(m[0]) > int64(s) {
		clear(m)
	}
	m[0] = uint64(max(int64(m[0]), t))
	number, bit := id/stretchIDs, id%stretchIDs
	near, shown, at := false, uint64(0), stretches-1 // the oldest stretch gives way to a new one
	for i := range stretches {
		of, ids := m[1+2*i], m[2+2*i]
		if ids == 0 {
			if shown == 0 {
				at = i
			}
			break
		}
		near = near || gap(of*stretchIDs, ids, id) <= most
		if of == number {
			shown, at = ids, i
		}
	}
	copy(m[3:3+2*at], m[1:])
	m[1], m[2] = number, shown|1<<bit
	return near && shown>>bit&1 == 0
}

// gap gives how far an id is from the nearest of the ids, at least one, of the stretch
// that begins with first.
func gap(first, ids, id uint64) uint64 {
	lowest, highest := first+uint64(bits.TrailingZeros64(ids)), first+uint64(bits.Len64(ids))-1
	switch {
	case id <= lowest:
		return lowest - id
	case id >= highest:
		return id - highest
	}
	at := id - first
	below, above := ids&(1<<at-1), ids>>at
	return min(at+1-uint64(bits.Len64(below)), uint64(bits.TrailingZeros64(above)))
}
