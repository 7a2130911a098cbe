package detector

import (
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// crowd is what is known of how the clients of one endpoint stand beside each other, by
// what each has done within an hour.
type crowd struct {
	since int64 // the first bucket of which something is known, s
	hour  int64 // of what follows: when it began, s
	now   population
	tops  []schemas.PeerTotal // the clients with most
	past  population          // of the hours before, those long ago counting less
	hours float64             // that are in past
	cases []peerCase
}

const (
	crowdTops   = 64  // clients of an hour that can be outliers
	crowdCases  = 128 // clients that are remembered as outliers
	crowdMemory = 168 // hours that past is about, mostly
	leastHour   = schemas.PeerSeconds / 2
)

func newCrowd(start int64) *crowd { return &crowd{since: start, hour: hourOf(start)} }

func hourOf(t int64) int64 { return t - mod(t, schemas.PeerSeconds) }

// add takes in what a bucket has to say. Buckets come in the order of their times.
func (c *crowd) add(start int64, p *schemas.Peers) {
	if hour := hourOf(start); hour != c.hour {
		c.turn(hour)
	}
	for _, m := range p.Moves {
		c.now[m.Bin] += float32(m.Count)
	}
	for _, t := range p.Tops {
		c.tops = schemas.TopPeers(c.tops, t, crowdTops)
	}
}

// turn learns the hour and begins the next. Those who are known to have much are no part
// of the population that others are measured by; a client that has become an outlier is learned
// once, so that a place where such come and go learns that they do.
func (c *crowd) turn(hour int64) {
	for _, t := range c.tops {
		apart := false
		for i := range c.cases {
			p := &c.cases[i]
			if p.client != t.Client {
				continue
			}
			apart = apart || p.first < c.hour || c.learning()
			if peerAgain*t.Total >= p.peak {
				p.known = c.hour
			}
			p.peak = max(p.peak, t.Total)
		}
		if apart {
			c.now[schemas.PeerBinOf(t.Total)]--
		}
	}
	if c.since <= c.hour+leastHour {
		const keep = 1 - 1./crowdMemory
		c.past.scale(keep)
		c.past.add(&c.now, 1)
		c.hours = c.hours*keep + 1
	}
	clear(c.tops)
	c.hour, c.now, c.tops = hour, population{}, c.tops[:0]
	c.cases = slices.DeleteFunc(c.cases, func(p peerCase) bool { return !p.open && hour-p.known > peerKnown })
}

// peerCase is a client that a rule has found to be an outlier: an episode, and after its
// end (or where the client was there from the beginning) what keeps the next from being
// opened for the same.
type peerCase struct {
	rule, version string
	client        string
	open          bool
	first         int64       // the hour in which it was found first
	opened        int64       // the bucket that opened the episode, s
	hour          int64       // the last one in which it was an outlier
	known         int64       // the last one in which it had nearly as much as it is known for
	peak          float64     // what it had in an hour, at most; it follows slow growth
	finding       peerFinding // that opened the episode
	reminders     int64
}

const (
	peerAgain = 2         // times what it is known for, before it is reported anew
	peerKnown = 7 * 86400 // s, after which it is forgotten
)

// caseOf gives the case of a client, nil if there is none.
func (c *crowd) caseOf(r *Rule, client string) *peerCase {
	i := slices.IndexFunc(c.cases, func(p peerCase) bool { return p.rule == r.ID && p.version == r.Version && p.client == client })
	if i < 0 {
		return nil
	}
	return &c.cases[i]
}

// knows says whether a client has a case of whatever rule.
func (c *crowd) knows(client string) bool {
	return slices.ContainsFunc(c.cases, func(p peerCase) bool { return p.client == client })
}

// report notes that a client was found to be an outlier in a bucket, and gives its case
// if that opens an episode: not for what was there from the beginning, nor again for what
// the client was reported for.
func (c *crowd) report(r *Rule, f *peerFinding, start int64) *peerCase {
	p := c.caseOf(r, f.client)
	if p == nil {
		if len(c.cases) >= crowdCases && !c.dropCase() {
			return nil
		}
		c.cases = append(c.cases, peerCase{rule: r.ID, version: r.Version, client: f.client, first: c.hour})
		p = &c.cases[len(c.cases)-1]
	}
	p.hour, p.known = c.hour, c.hour
	switch {
	case c.learning():
		p.peak = max(p.peak, f.total, f.limit)
		return nil
	case p.open:
		p.peak = max(p.peak, f.total)
		return nil
	case f.total < peerAgain*p.peak:
		return nil
	}
	p.open, p.opened, p.peak, p.finding, p.reminders = true, start, f.total, *f, 0
	return p
}

// dropCase makes room by forgetting the case that is over for longest.
func (c *crowd) dropCase() bool {
	oldest := -1
	for i := range c.cases {
		if p := &c.cases[i]; !p.open && (oldest < 0 || p.known < c.cases[oldest].known) {
			oldest = i
		}
	}
	if oldest >= 0 {
		c.cases = slices.Delete(c.cases, oldest, oldest+1)
	}
	return oldest >= 0
}

// over says whether an episode has ended by a time: the hour after the last one in which
// the client was an outlier has passed.
func (p *peerCase) over(now int64) bool { return p.open && now >= p.hour+2*schemas.PeerSeconds }

// openCases is how many episodes go on.
func (c *crowd) openCases() int {
	n := 0
	for i := range c.cases {
		if c.cases[i].open {
			n++
		}
	}
	return n
}
