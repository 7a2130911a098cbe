package detector

import (
	"cmp"
	"math"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// episode is what a rule has found and what goes on: one verdict opened it.
type episode struct {
	rule, version string
	figure        figure
	down          bool
	opened        int64   // the bucket that opened it, s
	seen          int64   // event time, µs
	usual         float64 // when it opened, as people read it
	now           float64 // observed last
	peak          float64 // the farthest from usual that was observed
	score         float64 // when it opened
	samples       int64   // behind what was usual then
	calm          uint8   // periods since it was last unusual; latency and first use have an end of their own
	reminders     int64
}

const (
	calmPeriods = 3 // after which an episode is over

	// learnedAfter is how long an episode can last, s: what goes on for longer is what is usual now.
	learnedAfter = 24 * 3600
)

// open opens an episode by a finding about a series.
func (c *closing) open(e *learnedEndpoint, r *Rule, m figure, f *SeriesFinding) {
	scaled := f.scaled(figureTexts[m].scale)
	p := episode{
		rule: r.ID, version: r.Version, figure: m, down: f.Deviation < 0,
		opened: c.end - learnedPeriod, seen: (c.end - learnedPeriod) * microseconds,
		usual: scaled.Usual, now: scaled.Value, peak: scaled.Value, score: f.extremity(), samples: f.Samples,
	}
	c.tell(e, r, &p, schemas.PhaseOpen, p.seen, openSentence(e, m, &scaled))
	e.episodes = append(e.episodes, p)
}

// extremity is the score of a finding, whether or not its series reported it.
func (f *SeriesFinding) extremity() float64 {
	if f.excess > newExcess {
		return 0.5 + 0.5*f.excess/(1+f.excess)
	}
	return max(0, 0.5*(1-largeFar/2/math.Abs(f.Deviation)))
}

// goOn takes in what the series of the episode shows next.
func (p *episode) goOn(f *SeriesFinding) {
	p.follow(f.Value * figureTexts[p.figure].scale)
	if f.excess > newExcess || math.Abs(f.Deviation) >= newFar && f.Deviation < 0 == p.down {
		p.calm = 0
	} else {
		p.calm++
	}
}

func (p *episode) follow(now float64) {
	p.now = now
	if now < p.peak == p.down {
		p.peak = now
	}
}

// gone says whether what is observed now is nearer to what was usual before the episode
// than to the farthest that was observed in it. Where it is not, it is unusual no more
// because it was learned.
func (p *episode) gone() bool { return math.Abs(p.now-p.usual) < math.Abs(p.now-p.peak) }

// tend reminds of an endpoint's episodes, and ends those that are over.
func (c *closing) tend(e *learnedEndpoint) {
	kept := e.episodes[:0]
	for _, p := range e.episodes {
		r := e.view.judges(p.figure, p.rule, p.version)
		switch lasted := c.end - p.opened; {
		case p.calm >= calmPeriods:
			c.tell(e, r, &p, schemas.PhaseClose, c.end*microseconds, closeSentence(e, &p, lasted, p.gone()))
			continue
		case p.figure == figureUnseen && lasted >= unseenFor:
			c.tell(e, r, &p, schemas.PhaseClose, c.end*microseconds, closeSentence(e, &p, lasted, false))
			continue
		case lasted >= learnedAfter:
			c.tell(e, r, &p, schemas.PhaseClose, c.end*microseconds, closeSentence(e, &p, lasted, false))
			e.trust(p.figure)
			continue
		case p.calm == 0 && r.Remind > 0 && lasted*microseconds/r.Remind > p.reminders:
			p.reminders = lasted * microseconds / r.Remind
			c.tell(e, r, &p, schemas.PhaseRemind, c.end*microseconds, remindSentence(e, &p, lasted))
		}
		kept = append(kept, p)
	}
	if e.episodes = kept; len(kept) == 0 {
		e.episodes = nil
	}
}

// rest counts a period for the episodes about sizes: what is too large begins that anew.
func (e *learnedEndpoint) rest() {
	for i := range e.episodes {
		if p := &e.episodes[i]; p.figure >= figureRequestSize && p.calm < calmPeriods {
			p.calm++
		}
	}
}

// found is a verdict and what it is sorted by.
type found struct {
	verdict schemas.Verdict
	end     int64 // of the bucket that was judged, s
	view    string
	figure  figure
}

func (a found) compare(b found) int {
	return cmp.Or(cmp.Compare(a.end, b.end), strings.Compare(a.verdict.Subject, b.verdict.Subject), strings.Compare(a.verdict.Endpoint, b.verdict.Endpoint), strings.Compare(a.verdict.RuleID, b.verdict.RuleID),
		cmp.Compare(a.figure, b.figure), strings.Compare(a.view, b.view))
}
