package main

import (
	"slices"
	"time"
)

// look makes the scene of this moment.
func (d *demo) look() scene {
	s := scene{now: time.Now(), where: d.places(), blocked: d.feeder.blocked.Load()}
	p := d.course
	p.mu.Lock()
	s.phase, s.length = p.phase, p.length
	if !p.since.IsZero() {
		s.elapsed = s.now.Sub(p.since)
		if s.length > 0 {
			s.elapsed = min(s.elapsed, s.length)
		}
	}
	for i, f := range []*flow{&s.produced, &s.detected, &s.stored} {
		*f = flow{total: p.flows[i].total, rates: slices.Clone(p.flows[i].rates)}
	}
	s.lagDetect, s.lagStore = p.lagDetect, p.lagStore
	s.subjects = p.subjects
	p.mu.Unlock()
	d.board.fill(&s)
	s.warning = d.logged.recent(10 * time.Second)
	return s
}
