package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/apiwarden/apiwarden/schemas"
)

// scene is a demo at one moment, ready to be drawn.
type scene struct {
	now     time.Time
	phase   string // what is going on
	elapsed time.Duration
	length  time.Duration // 0: until interrupted
	where   []place

	produced, detected, stored flow
	lagDetect, lagStore        int64
	subjects                   int64
	blocked                    uint64

	verdicts int
	byAction map[string]int
	bansLive int
	dead     int
	p99      time.Duration
	hasP99   bool

	latest    []schemas.Verdict // newest first
	offenders []offender
	bans      []schemas.Ban // newest first
	ended     []endedBan    // newest first
	names     map[string]string
	warning   string // the last thing that went wrong
}

// place is where something can be reached.
type place struct{ name, addr string }

// flow is a counter and its last rates, one a second, the newest last.
type flow struct {
	total float64
	rates []float64
}

// rate is the last one.
func (f flow) rate() float64 {
	if len(f.rates) == 0 {
		return 0
	}
	return f.rates[len(f.rates)-1]
}

// observe notes the counter's value after some time.
func (f *flow) observe(total float64, after time.Duration) {
	if after > 0 {
		f.rates = push(f.rates, max(0, total-f.total)/after.Seconds(), keptRates)
	}
	f.total = total
}

const keptRates = 240

// fill copies what the board knows into s.
func (b *board) fill(s *scene) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.verdicts, s.dead = len(b.verdicts), b.dead
	s.byAction = make(map[string]int, len(b.byAction))
	for action, n := range b.byAction {
		s.byAction[action] = n
	}
	s.latest = slices.Clone(b.latest)
	slices.Reverse(s.latest)
	s.offenders = b.topOffenders(keptVerdicts)
	s.bans = b.activeBans(s.now)
	s.bansLive = len(s.bans)
	s.ended = slices.Clone(b.ended)
	slices.Reverse(s.ended)
	s.p99, s.hasP99 = quantile(b.ages, 0.99)
	s.names = make(map[string]string, len(b.names))
	for subject, name := range b.names {
		s.names[subject] = name
	}
}

// clock is a duration as people read it off a watch: 0:07, 14:32, 6:00:00.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	if s < 0 {
		s = 0
	}
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
