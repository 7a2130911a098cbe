package detector

import (
	"math"

	"github.com/apiwarden/apiwarden/schemas"
)

// closing is the work of Close on one shard.
type closing struct {
	shard   *learnedShard
	trigger *schemas.Position
	found   []found
	end     int64 // of the bucket that is being judged, s
	views   map[string]*learnedView
	partial bool // the log has not said all of the five minutes that are being judged
}

func (c *closing) close(until int64) {
	s := c.shard
	if until <= s.closed {
		return
	}
	for _, start := range s.starts(until) {
		c.closePeriod(start)
		c.closeBucket(start)
	}
	c.closePeriod(until)
	s.closed = until
}

// closeBucket judges the latency and the sizes of 10 s and adds them to the five minutes.
func (c *closing) closeBucket(start int64) {
	s := c.shard
	c.end = start + schemas.SummarySeconds
	if s.period.start == noPeriod {
		s.period = period{start: start - floorMod(start, learnedPeriod)}
	}
	if n := s.traffic[start]; n > 0 {
		s.period.cover((start-s.period.start)/schemas.SummarySeconds, n)
		s.period.lagging += s.lagging(c.end)
	}
	delete(s.traffic, start)

	bucket := s.open[start]
	s.makeRoom(c.end)
	for _, id := range inOrder(s, bucket) {
		m := bucket[id]
		s.openBytes -= m.size()
		e := s.endpoint(m.view, id, m.Pooled, start)
		if e == nil && m.view.metric != "" {
			continue // clients of several endpoints are no peers
		}
		if e == nil { // there is no room for what is new
			e = s.poolOf(m.view, id.key, start)
		}
		before := e.bytes()
		e.newest = start
		if e.served == 0 && m.Classes[1]+m.Classes[2] > 0 {
			e.served = start
		}
		e.tally.add(&m.Summary)
		switch {
		case m.view.metric != "":
			c.judgePeers(e, &m.Summary)
		case !e.pool:
			c.judgeLatency(e, &m.Summary)
			c.judgeSizes(e, &m.Summary)
		}
		s.bytes += e.bytes() - before
	}
	delete(s.open, start)
}

// closePeriod judges the five minutes that are added up, if they are over by then.
func (c *closing) closePeriod(then int64) {
	s := c.shard
	p := s.period
	if p.start == noPeriod || then < p.start+learnedPeriod {
		return
	}
	c.end = p.start + learnedPeriod
	for id := range c.views {
		if _, known := s.since[id]; !known {
			s.since[id] = p.start
		}
	}
	c.partial = s.thin(p) || 100*p.lagging > mayLag*int64(s.partitions)*p.covered
	for _, id := range inOrder(s, s.endpoints) {
		if e := s.endpoints[id]; !e.pool {
			c.weigh(e)
		}
	}
	for id, e := range s.endpoints {
		before := e.bytes()
		if e.pool {
			e.learnVolume(c.partial, s.has(roomForSeries))
		}
		if e.watched > 0 {
			c.judgeSeries(e, p.start)
		}
		if len(e.view.rules[figureUnseen]) > 0 {
			c.judgeUnseen(e)
		}
		c.lapse(e)
		c.tend(e)
		e.rest()
		c.tendPeers(e)
		e.tally = tally{}
		s.bytes += e.bytes() - before
		if c.end-e.newest > goneAfter && e.open() == 0 {
			s.forget(id, e)
		}
	}
	s.makeRoomOfSeries()
	s.period = period{start: noPeriod}
}

// weigh learns how busy an endpoint is, and adds it to the others of its service if it is rare.
func (c *closing) weigh(e *learnedEndpoint) {
	before := e.bytes()
	e.learnVolume(c.partial, c.shard.has(roomForSeries))
	c.shard.bytes += e.bytes() - before
	if e.watched > 0 || e.periods < volumeKnown || e.tally.requests == 0 {
		return
	}
	pool := c.shard.poolOf(e.view, e.key, e.newest)
	before = pool.bytes()
	pool.tally.join(&e.tally)
	pool.newest = max(pool.newest, e.newest)
	c.shard.bytes += pool.bytes() - before
}

// thin says whether the log was silent for more of a period than it usually is, and learns that.
// Where requests are few, as by night, they are in few buckets of 10 s, and that is no
// silence: it goes by how many there would be of so many requests at random times (Poisson).
func (s *learnedShard) thin(p period) bool {
	const rate, part = 1. / 288, 0.7
	s.periods++
	coverage := 1.
	if p.requests > 0 {
		coverage = min(1, float64(p.covered)/periodBuckets/-math.Expm1(-float64(p.requests)/periodBuckets))
	}
	covered := float64(p.covered)
	thin := s.periods > 1 && (coverage < part*s.coverage || covered < part*s.covered && p.isEdge(part))
	by := max(rate, 1/float64(s.periods))
	s.coverage += by * (coverage - s.coverage)
	s.covered += by * (covered - s.covered)
	return thin
}

const periodBuckets = learnedPeriod / schemas.SummarySeconds

// cover notes the requests of a bucket, from 0.
func (p *period) cover(bucket, requests int64) {
	if p.covered == 0 {
		p.first = bucket
	}
	p.last = bucket
	p.covered++
	p.requests += requests
}

// isEdge says whether all buckets with requests are in less than a part of the period, at its
// begin or its end, and hardly by chance: the log may have stopped or begun there.
func (p *period) isEdge(part float64) bool {
	const chance = 0.05
	within := float64(min(p.last+1, periodBuckets-p.first)) / periodBuckets
	return within < part && math.Pow(within, float64(p.covered)) < chance
}
