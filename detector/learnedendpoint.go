package detector

import (
	"slices"
	"unsafe"

	"github.com/apiwarden/apiwarden/schemas"
)

// learnedEndpoint is what is known of one endpoint of a view, or of all its rare ones
// together (a pool).
type learnedEndpoint struct {
	view *learnedView
	key  string
	pool bool

	first, newest int64   // buckets of 10 s with requests, s
	served        int64   // the first one with an answer 2xx or 3xx; 0: there was none yet
	periods       int64   // of five minutes since first
	usual         float64 // requests in five minutes, a slow mean
	watched       int64   // since when series are kept, s; 0: they are not, it is rare
	asked         int64   // periods with requests since then, in which shares were judged
	series        [seriesFigures]*Series
	latency       [sensitivityCount]*Latency
	sizes         []learnedSize
	tally         tally
	doubts        []doubt
	episodes      []episode
	crowd         *crowd // of views of outliers: all that there is
}

// An endpoint is judged by itself once it is busy: it has a minute with a request, on
// average, for some time. It is until it has much less. Others share a pool: their
// series would be of zeros and ones, and there may be very many of them.
const (
	volumeKnown   = 12   // periods: an hour
	busyRequests  = 5.   // in five minutes
	rareRequests  = 1.   // in five minutes
	volumeForgets = 2016 // periods, a week
)

// learnVolume takes in how many requests there were in the five minutes. part says that
// they are not all, room that there is some for series.
func (e *learnedEndpoint) learnVolume(part, room bool) {
	if part || !e.view.series {
		return
	}
	e.periods++
	e.usual += (float64(e.tally.requests) - e.usual) / float64(min(e.periods, volumeForgets))
	switch {
	case e.watched == 0 && room && e.periods >= volumeKnown && e.usual >= busyRequests:
		e.watched, e.asked = e.newest-floorMod(e.newest, learnedPeriod), 0
	case e.watched > 0 && e.usual < rareRequests && len(e.episodes) == 0:
		e.unwatch()
	}
}

func (e *learnedEndpoint) unwatch() {
	e.watched, e.series, e.doubts = 0, [seriesFigures]*Series{}, nil
}

// watch gives the series of a figure, which begins with the first call.
func (e *learnedEndpoint) watch(m figure) *Series {
	if e.series[m] == nil {
		e.series[m] = new(Series)
	}
	return e.series[m]
}

// watchShare is watch for a share that has been 0 in all periods with requests so far.
// The series is only made then: most endpoints never answer in some classes.
func (e *learnedEndpoint) watchShare(m figure, now int64) *Series {
	if e.series[m] != nil {
		return e.series[m]
	}
	s := e.watch(m)
	zeros := min(e.asked-1, extentBlocks*extentBlock)
	if zeros > 0 {
		step := max(learnedPeriod, (now-e.watched)/e.asked/learnedPeriod*learnedPeriod)
		for i := zeros; i > 0; i-- {
			s.ObserveShare(now-i*step, 0, 1)
		}
	}
	return s
}

// open is how many episodes go on.
func (e *learnedEndpoint) open() int {
	n := len(e.episodes)
	if e.crowd != nil {
		n += e.crowd.openCases()
	}
	return n
}

// bytes is what the endpoint takes, about.
func (e *learnedEndpoint) bytes() int64 {
	const inMap = 64
	n := int64(unsafe.Sizeof(*e)) + inMap + int64(len(e.key)) + 4*int64(len(e.tally.clients)) +
		int64(len(e.episodes))*int64(unsafe.Sizeof(episode{})) + int64(len(e.doubts))*int64(unsafe.Sizeof(doubt{}))
	for _, s := range e.series {
		if s != nil {
			n += int64(unsafe.Sizeof(*s))
		}
	}
	for _, l := range e.latency {
		if l != nil {
			n += latencyBytes
		}
	}
	n += learnedSizeBytes * int64(len(e.sizes))
	if e.crowd != nil {
		n += e.crowd.bytes()
	}
	return n
}

// tally is what five minutes add up to.
type tally struct {
	requests int64
	classes  [5]int64
	clients  []uint32 // as in schemas.Summary
}

func (t *tally) add(s *schemas.Summary) {
	t.join(&tally{s.Requests, s.Classes, s.Clients})
}

// served is how many requests were answered 2xx or 3xx.
func (t *tally) served() int64 { return t.classes[1] + t.classes[2] }

func (t *tally) join(o *tally) {
	t.requests += o.requests
	for i, n := range o.classes {
		t.classes[i] += n
	}
	all := schemas.Summary{Clients: t.clients}
	for _, c := range o.clients {
		if !all.AddClient(c) {
			break // those that follow are larger
		}
	}
	t.clients = all.Clients
}

// distinct estimates the number of clients from the k smallest of their hashes.
func (t *tally) distinct() float64 {
	if len(t.clients) < schemas.SummaryClients {
		return float64(len(t.clients))
	}
	return float64(len(t.clients)-1) / (float64(t.clients[len(t.clients)-1]) + 1) * (1 << 32)
}

// episode gives the index of the open episode of a rule, -1 if there is none.
func (e *learnedEndpoint) episode(m figure, r *Rule) int {
	return slices.IndexFunc(e.episodes, func(p episode) bool { return p.figure == m && p.rule == r.ID && p.version == r.Version })
}
