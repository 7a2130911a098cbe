package consumer

import (
	"cmp"
	"sync"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// saidByHand counts what people have changed, so that the loop knows when to look: the
// changes themselves are kept by the follower of the control topic.
type saidByHand struct {
	mu    sync.Mutex
	times int
	ring  func() // ends the poll that waits; nil: there is no loop
}

// more says that there is something new.
func (s *saidByHand) more() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times++
	if s.ring != nil {
		s.ring()
	}
}

func (s *saidByHand) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times
}

// ringing has ring called when there is something new; nil: nothing is.
func (s *saidByHand) ringing(ring func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring = ring
}

// controlMark is how far a journal has taken a partition of the control topic.
type controlMark struct {
	Time   schemas.Micros `json:"time"` // of the last record taken
	Offset int64          `json:"offset"`
}

// before says whether a record is newer. By its time first: the topic may have been
// made anew.
func (m controlMark) before(r *sink.ControlRecord) bool {
	return cmp.Or(cmp.Compare(m.Time, r.RecordTime), cmp.Compare(m.Offset, r.Position.Offset)) < 0
}

func markOf(r *sink.ControlRecord) controlMark { return controlMark{r.RecordTime, r.Position.Offset} }

// saidEntries gives the manual changes that a partition's journal does not have yet, as
// entries that hold from its next record on, and notes in the journal how far they go.
// A partition that begins takes only what is still in force.
func (s *session) saidEntries(p *partition, begins bool) []entry {
	people := s.detect.people.Load()
	if people == nil || !people.Ready() {
		return nil // looked at again in the next turn
	}
	p.said = s.detect.said.count()
	var add []entry
	marks := make(map[int32]controlMark)
	for partition, m := range p.journal.Controls {
		marks[partition] = m
	}
	for _, r := range people.State() {
		n := r.Position.Partition
		if mark, ok := p.journal.Controls[n]; ok && !mark.before(&r) {
			continue
		}
		if m := marks[n]; m.before(&r) {
			marks[n] = markOf(&r)
		}
		e := s.entry(p, entryControl)
		e.Control = &manualChange{Scope: r.Scope, Value: r.Value, Change: r.Control, Partition: n, Offset: r.Position.Offset}
		if begins && !e.Control.lasts(e.At) {
			continue
		}
		add = append(add, e)
	}
	p.journal.Controls = marks
	return add
}
