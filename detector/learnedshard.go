package detector

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unsafe"

	"github.com/apiwarden/apiwarden/schemas"
)

// learnedShard is one of the pieces in which baselines are kept: the endpoints that fall
// into it by a hash, and how far it is. All that it decides by is its own, so that pieces
// that were encoded at different places in the log can be restored together: each
// passes over what it contains.
type learnedShard struct {
	bound      int64 // bytes; 0: none
	closed     int64 // buckets that end then or before are judged
	partitions int   // of the log
	marks      []int64
	traffic    map[int64]int64 // of the log, by the start of buckets that are not closed
	open       map[int64]mergedBucket
	openBytes  int64

	endpoints map[endpointID]*learnedEndpoint
	bytes     int64 // of the endpoints
	period    period
	covered   float64 // buckets of 10 s with requests in the log, in five minutes, usually
	coverage  float64 // the same as a part of how many there would be of so many requests at random times
	periods   int64   // that were judged

	since map[string]int64 // since when all endpoints of a view that were served are known, s
}

// period is the five minutes that are being added up.
type period struct {
	start    int64 // noPeriod: none is
	covered  int64 // buckets of 10 s in which there were any
	requests int64 // in the log
	first    int64 // of the buckets in which there were any, from 0
	last     int64
	lagging  int64 // partitions that were behind when these were closed, added up
}

const (
	learnedPeriod = 300 // s
	noPeriod      = -1

	// maxLogPartitions bounds what a mark may claim.
	maxLogPartitions = 100_000

	// idlePartition is how long, in s of event time, a partition of the log may be behind the others until it
	// is taken to have nothing to say. Before that, rates are not judged without it: what
	// it has not told yet would be taken for silence.
	idlePartition = 3600

	// mayLag is how much of a period, in %, partitions may not have told when it is judged.
	mayLag = 5

	// goneAfter is how long an endpoint is remembered without requests, s: so long that what
	// is done once a week is known.
	goneAfter = 8 * 86400

	// openShare is the part of the bound that open buckets may take.
	openShare = 4
)

type endpointID struct{ view, key string }

func (a endpointID) compare(b endpointID) int {
	return cmp.Or(strings.Compare(a.view, b.view), strings.Compare(a.key, b.key))
}

// mergedBucket is what was merged of 10 s.
type mergedBucket map[endpointID]*mergedSummary

// mergedSummary is the summary of an endpoint and which partitions of the log are in it.
type mergedSummary struct {
	schemas.Summary
	view *learnedView
	from []int32
}

func newLearnedShard(bound int64) learnedShard {
	return learnedShard{
		bound: bound, traffic: map[int64]int64{}, open: map[int64]mergedBucket{}, endpoints: map[endpointID]*learnedEndpoint{},
		period: period{start: noPeriod}, since: map[string]int64{},
	}
}

// adopt drops what is of views that are gone.
func (s *learnedShard) adopt(views map[string]*learnedView) {
	maps.DeleteFunc(s.since, func(id string, _ int64) bool { return views[id] == nil })
	for id, e := range s.endpoints {
		if views[id.view] == nil {
			s.forget(id, e)
			continue
		}
		before := e.bytes()
		if e.crowd != nil {
			e.crowd.adopt(e.view)
		}
		e.episodes = slices.DeleteFunc(e.episodes, func(p episode) bool { return e.view.judges(p.figure, p.rule, p.version) == nil })
		s.bytes += e.bytes() - before
	}
	for _, bucket := range s.open {
		for id, m := range bucket {
			if views[id.view] == nil {
				s.openBytes -= m.size()
				delete(bucket, id)
			}
		}
	}
}

// merge takes in a summary; a new one only where there is room.
func (s *learnedShard) merge(v *learnedView, sum *schemas.Summary, room bool) Merging {
	if sum.Start+schemas.SummarySeconds <= s.closed {
		return TooLate
	}
	bucket := s.open[sum.Start]
	id := endpointID{v.id, sum.Endpoint}
	m := bucket[id]
	switch {
	case m == nil && !room:
		return NoRoom
	case m == nil:
		if bucket == nil {
			bucket = mergedBucket{}
			s.open[sum.Start] = bucket
		}
		if e := s.endpoints[id]; e != nil {
			id.key = e.key
		} else {
			id.key = strings.Clone(sum.Endpoint)
		}
		m = &mergedSummary{view: v, Summary: schemas.Summary{View: v.id, Endpoint: id.key, Start: sum.Start}}
		bucket[id] = m
	case slices.Contains(m.from, sum.Partition):
		return Repeated
	default:
		s.openBytes -= m.size()
	}
	m.from = append(m.from, sum.Partition)
	m.Pooled = m.Pooled || sum.Pooled
	m.Merge(sum)
	s.openBytes += m.size()
	return Merged
}

// size is what a merged summary takes, about, in bytes.
func (m *mergedSummary) size() int64 {
	n := int64(0)
	if m.Peers != nil {
		n = 48 + 16*int64(len(m.Peers.Moves)) + 64*int64(len(m.Peers.Tops))
	}
	if m.Sizes != nil {
		n += int64(unsafe.Sizeof(*m.Sizes))
		for k := range m.Sizes {
			n += 16*int64(len(m.Sizes[k].Bins)) + 40*int64(len(m.Sizes[k].Largest))
		}
	}
	return n + 384 + int64(len(m.Endpoint)+4*len(m.from)+4*len(m.Clients)+16*len(m.Latency)+24*len(m.Evidence))
}

func (s *learnedShard) mark(m *schemas.SummaryMark) {
	s.partitions = m.Partitions
	for len(s.marks) < m.Partitions {
		s.marks = append(s.marks, 0)
	}
	known := s.marks[m.Partition]
	if m.Closed <= known {
		return
	}
	s.marks[m.Partition] = m.Closed
	for _, t := range m.Traffic {
		if t.Start >= max(known, s.closed) && t.Start < m.Closed && t.Start%schemas.SummarySeconds == 0 {
			s.traffic[t.Start] += t.Requests
		}
	}
}

// complete is until when all partitions of the log are closed.
func (s *learnedShard) complete() int64 {
	if s.partitions == 0 {
		return 0
	}
	return slices.Min(s.marks[:s.partitions])
}

// newest is until when one partition of the log is closed.
func (s *learnedShard) newest() int64 {
	if s.partitions == 0 {
		return 0
	}
	return slices.Max(s.marks[:s.partitions])
}

// lagging is how many partitions that are not idle have yet to close the buckets that end at
// until.
func (s *learnedShard) lagging(until int64) (n int64) {
	for _, closed := range s.marks[:s.partitions] {
		if closed > 0 && closed < until && until-closed <= idlePartition {
			n++
		}
	}
	return n
}

// starts gives the buckets of which there is something, up to until, in their order.
func (s *learnedShard) starts(until int64) []int64 {
	var starts []int64
	for start := range s.open {
		if start+schemas.SummarySeconds <= until {
			starts = append(starts, start)
		}
	}
	for start := range s.traffic {
		if start+schemas.SummarySeconds <= until && s.open[start] == nil {
			starts = append(starts, start)
		}
	}
	slices.Sort(starts)
	return starts
}
