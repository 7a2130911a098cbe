package traffic

import "math/rand/v2"

// step sends the request that is due at time at: it fills ev, whose Time is set,
// and gives the time of the next one. 0 means that there is none.
type step func(at int64, ev *Event, r *rand.Rand) (next int64)

// schedule is a binary heap of steps by the time at which they are due; equal times
// go in the order in which they were added, so that a run can be repeated.
type schedule struct {
	items []due
	added uint64
}

type due struct {
	at    int64
	order uint64
	step  step
}

func (d due) before(o due) bool {
	return d.at < o.at || d.at == o.at && d.order < o.order
}

// add schedules do for time at; at 0 it does nothing.
func (s *schedule) add(at int64, do step) {
	if at == 0 {
		return
	}
	s.added++
	s.items = append(s.items, due{at: at, order: s.added, step: do})
	for i := len(s.items) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s.items[i].before(s.items[parent]) {
			break
		}
		s.items[i], s.items[parent] = s.items[parent], s.items[i]
		i = parent
	}
}

// run fills ev with the first request that is due before end and schedules what
// follows it. It is false where nothing is due.
func (s *schedule) run(end int64, ev *Event, r *rand.Rand) bool {
	if len(s.items) == 0 || s.items[0].at >= end {
		return false
	}
	first := &s.items[0]
	*ev = Event{Time: first.at}
	next := first.step(first.at, ev, r)
	if next == 0 {
		last := len(s.items) - 1
		s.items[0] = s.items[last]
		s.items[last] = due{}
		s.items = s.items[:last]
	} else {
		s.added++
		first.at, first.order = next, s.added
	}
	s.sink()
	return true
}

// sink moves the first item down to where it belongs.
func (s *schedule) sink() {
	for i := 0; ; {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(s.items) && s.items[child].before(s.items[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		s.items[i], s.items[least] = s.items[least], s.items[i]
		i = least
	}
}
