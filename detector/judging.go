package detector

import (
	"math"
	"slices"
)

// judgeSeries judges the five minutes of an endpoint that is busy enough.
func (c *closing) judgeSeries(e *learnedEndpoint, start int64) {
	t := &e.tally
	var requests SeriesFinding
	if !c.partial {
		requests = e.watch(figureRequests).ObserveCount(start, float64(t.requests))
		if len(e.view.rules[figureRequests]) > 0 {
			clients := e.watch(figureClients).ObserveCount(start, t.distinct())
			c.judge(e, figureRequests, &requests, requests.Deviation > 0 && clients.Deviation < newFar)
			c.judge(e, figureClients, &clients, false)
		}
	}
	if t.requests == 0 || len(e.view.rules[firstShare]) == 0 {
		return
	}
	e.asked++
	for m := firstShare; m.isShare(); m++ {
		n := t.classes[figureTexts[m].class]
		if n == 0 && e.series[m] == nil {
			continue
		}
		f := e.watchShare(m, start).ObserveShare(start, float64(n)/float64(t.requests), float64(t.requests))
		c.judge(e, m, &f, m != figureServerErrors && float64(t.requests-n) >= asManyOthers*requests.Usual*(1-f.Usual))
	}
}

// asManyOthers is the part of the usual requests that must be missing where a class of
// answers takes their place. Where they are not, it comes on top.
const asManyOthers = 0.75

// judge has the rules say what follows from a finding. burst says that it may be the doing
// of a single client, on top of what is usual; that is for other rules unless it goes on.
func (c *closing) judge(e *learnedEndpoint, m figure, f *SeriesFinding, burst bool) {
	d := e.suspect(m, f, e.departs(m, f, c.end))
	for _, r := range e.view.rules[m] {
		i := e.episode(m, r)
		switch t := &tolerances[SensitivityOf(r.Sensitivity)]; {
		case i >= 0:
			e.episodes[i].goOn(f)
		case t.opens(d, burst) || t.large && e.isLarge(m, f, c.end):
			c.open(e, r, m, f)
		}
	}
}

// What a number must do to be worth a verdict, whatever the sensitivity, besides being
// outside of all that its series has seen (docs/BASELINES.md tells how these were chosen).
const (
	firstDay   = 25 * 3600     // s in which the hours of a day are not known yet
	firstWeek  = 8 * 24 * 3600 // s in which its days are not
	plainCount = 4.            // deviations of chance, of a number of requests (Poisson) or errors (binomial)
	plainRise  = 1.5           // times the most that was seen
	plainFall  = 0.5           // of the least that was seen
	firstFall  = 0.1           // the same in the first week
	silentFall = 0.1           // of the least that was seen: so few are plain
	silentFrom = 16.           // requests in five minutes, if that was so many
	plainShare = 0.02          // of the requests, more than the most that was seen
)

// departs says how far beyond all that was seen a finding is, in widths of that
// range; 0 where it is nothing to speak of: usual, by chance, of little, or of
// hours and days that were never seen before.
func (e *learnedEndpoint) departs(m figure, f *SeriesFinding, now int64) float64 {
	age := now - e.series[m].state.First
	up := f.Deviation > 0
	if f.excess <= newExcess || math.Abs(f.Deviation) < newFar || age < firstDay || !e.matters(m, up) {
		return 0
	}
	excess, fall := f.excess, plainFall
	if age < firstWeek {
		if f.feature > featureRecent { // it may be the first Sunday
			return 0
		}
		excess = beyond(f.observed, f.low, f.high, narrowest)
		fall = firstFall
	}
	limit := f.high
	if !up {
		limit = f.low
	}
	if f.feature > featureRecent { // which are distances to the level of the hour
		limit += f.Value - f.observed
	}
	limit = max(limit, 0)
	if m.isShare() {
		n := float64(e.tally.requests)
		chance := math.Sqrt(n*limit*(1-min(limit, 1)) + 1)
		if f.Value-limit < plainShare || n*(f.Value-limit) < plainCount*chance {
			return 0
		}
		return excess
	}
	if math.Abs(f.Value-limit) < plainCount*math.Sqrt(max(limit, 1)) {
		return 0
	}
	if up && f.Value < plainRise*limit || !up && f.Value > fall*limit {
		return 0
	}
	if !up && f.feature != featureRecent && limit >= silentFrom && f.Value <= silentFall*limit {
		return max(excess, plainly) // a range that is wide hides it: nothing is less than nothing
	}
	return excess
}

// matters says whether anybody wants to know that a figure rises, or falls.
func (e *learnedEndpoint) matters(m figure, up bool) bool {
	return up || m == figureRequests && !e.pool
}

// isLarge says whether a finding is far from usual, though not beyond all that was seen.
func (e *learnedEndpoint) isLarge(m figure, f *SeriesFinding, now int64) bool {
	if f.Kind == SeriesNothing || f.excess > newExcess || now-e.series[m].state.First < firstDay || !e.matters(m, f.Deviation > 0) {
		return false
	}
	by := math.Abs(f.Value - f.Usual)
	if m.isShare() {
		n := float64(e.tally.requests)
		return by >= plainShare && n*by >= plainCount*math.Sqrt(n*f.Usual+1)
	}
	return by >= plainCount*math.Sqrt(max(f.Usual, 1))
}

// doubt is a departure that may be too slight by itself. If it goes on, it is not.
type doubt struct {
	figure   figure
	down     bool
	strength float64 // the greatest there was
	periods  int64   // in which it was as far from usual
}

// suspect follows a figure that has departed until it is back. The periods after the
// first need not be beyond all that was seen, since that has been learned meanwhile.
func (e *learnedEndpoint) suspect(m figure, f *SeriesFinding, strength float64) doubt {
	i := slices.IndexFunc(e.doubts, func(d doubt) bool { return d.figure == m })
	goesOn := i >= 0 && math.Abs(f.Deviation) >= newFar && f.Deviation < 0 == e.doubts[i].down
	switch {
	case i >= 0 && !goesOn:
		e.trust(m)
		fallthrough
	case i < 0:
		if strength == 0 {
			return doubt{}
		}
		i = len(e.doubts)
		e.doubts = append(e.doubts, doubt{figure: m, down: f.Deviation < 0})
	}
	d := &e.doubts[i]
	d.strength = max(d.strength, strength)
	d.periods++
	return *d
}

// trust forgets a doubt.
func (e *learnedEndpoint) trust(m figure) {
	e.doubts = slices.DeleteFunc(e.doubts, func(d doubt) bool { return d.figure == m })
	if len(e.doubts) == 0 {
		e.doubts = nil
	}
}
