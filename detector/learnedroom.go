package detector

import (
	"cmp"
	"maps"
	"slices"
)

// What the endpoints of a shard may take is three quarters of its bound; the rest is for
// open buckets. Of that, in %, so much may be taken when something is added: what is
// dearer and says more may push further, so that the series of busy endpoints do not wait for
// the end of a scan.
const (
	roomForEndpoints = 70
	roomForLatency   = 85
	roomForSeries    = 95
)

const learnedParts = openShare - 1

// inUse is for how long an endpoint is not forgotten after a request, s.
const inUse = 3600

// has says whether at most so many % of the room are taken.
func (s *learnedShard) has(percent int64) bool {
	return s.bound == 0 || s.bytes <= s.bound/openShare*learnedParts/100*percent
}

// makeRoom forgets the endpoints that have been idle for longest, where there are too many:
// a scan of ever new paths forgets itself first.
func (s *learnedShard) makeRoom(now int64) {
	if s.has(roomForEndpoints) {
		return
	}
	var idle []*learnedEndpoint
	for _, e := range s.endpoints {
		if now-e.newest > inUse && e.open() == 0 {
			idle = append(idle, e)
		}
	}
	slices.SortFunc(idle, func(a, b *learnedEndpoint) int {
		return cmp.Or(cmp.Compare(a.newest, b.newest), a.id().compare(b.id()))
	})
	for _, e := range idle {
		if s.has(roomForEndpoints - 10) {
			break
		}
		if e.served > 0 { // it would be taken for new if it came back
			s.since[e.view.id] = now
		}
		s.forget(e.id(), e)
	}
}

// makeRoomOfSeries has the least busy endpoints share a pool, where there is too much.
func (s *learnedShard) makeRoomOfSeries() {
	if s.has(100) {
		return
	}
	var watched []*learnedEndpoint
	for _, e := range s.endpoints {
		if e.watched > 0 && len(e.episodes) == 0 {
			watched = append(watched, e)
		}
	}
	slices.SortFunc(watched, func(a, b *learnedEndpoint) int { return cmp.Or(cmp.Compare(a.usual, b.usual), a.id().compare(b.id())) })
	for _, e := range watched {
		if s.has(roomForSeries) {
			break
		}
		s.bytes -= e.bytes()
		e.unwatch()
		s.bytes += e.bytes()
	}
}

// inOrder gives endpoints where it matters in an order of their own: those that come
// first may take the last room.
func inOrder[T any](s *learnedShard, of map[endpointID]T) []endpointID {
	ids := slices.AppendSeq(make([]endpointID, 0, len(of)), maps.Keys(of))
	if s.bound > 0 {
		slices.SortFunc(ids, endpointID.compare)
	}
	return ids
}

func (e *learnedEndpoint) id() endpointID { return endpointID{e.view.id, e.key} }

// endpoint gives what is known of an endpoint. If that is nothing and there is no room, it
// is nil.
func (s *learnedShard) endpoint(v *learnedView, id endpointID, pool bool, start int64) *learnedEndpoint {
	e := s.endpoints[id]
	if e == nil && (pool || s.has(roomForEndpoints)) {
		e = &learnedEndpoint{view: v, key: id.key, pool: pool, first: start, newest: start}
		s.endpoints[id] = e
		s.bytes += e.bytes()
	}
	return e
}

// poolOf gives the pool of a rare endpoint. There is one for each service.
func (s *learnedShard) poolOf(v *learnedView, key string, start int64) *learnedEndpoint {
	return s.endpoint(v, endpointID{v.id, v.pool(key)}, true, start)
}

func (s *learnedShard) forget(id endpointID, e *learnedEndpoint) {
	s.bytes -= e.bytes()
	delete(s.endpoints, id)
}
