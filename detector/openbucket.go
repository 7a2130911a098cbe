package detector

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unsafe"

	"github.com/apiwarden/apiwarden/schemas"
)

// openBucket is a bucket of event time whose summaries are not published yet.
type openBucket struct {
	start     int64 // s
	from      int64 // the same, µs
	requests  int64 // of all endpoints, whether a view sees them or not
	summaries []*openSummary
	views     []openView
}

// openView is what a bucket has of one view.
type openView struct {
	endpoints map[string]*openSummary // by key; nil as long as there are none
	named     int                     // those that are told apart
	pooled    int                     // the others
	full      bool                    // no more are told apart; it stays so, whatever becomes of the bound
}

// openSummary is a summary that events are still added to.
type openSummary struct {
	schemas.Summary
	view  int
	peers schemas.Peers // Peers, if there are any
	copy  uint64        // the number of the last copy that has it, or was begun before it was there
}

// sort puts the summaries of a bucket in the order in which they are published.
func (b *openBucket) sort() {
	slices.SortFunc(b.summaries, func(x, y *openSummary) int {
		return cmp.Or(cmp.Compare(x.view, y.view), strings.Compare(x.Endpoint, y.Endpoint))
	})
}

// put puts a summary in under its key.
func (b *openBucket) put(x *openSummary) {
	b.summaries = append(b.summaries, x)
	v := &b.views[x.view]
	if v.endpoints == nil {
		v.endpoints = make(map[string]*openSummary)
	}
	v.endpoints[x.Endpoint] = x
	if x.Pooled {
		v.pooled++
	} else {
		v.named++
	}
}

// align gives views the indexes that they have moved to, of so many; what has moved to -1
// is dropped.
func (b *openBucket) align(moved []int, views int, pool *summaryPool) {
	all := make([]openView, views)
	for from, to := range moved {
		if to >= 0 {
			all[to] = b.views[from]
		}
	}
	b.views = all
	b.summaries = slices.DeleteFunc(b.summaries, func(x *openSummary) bool {
		if x.view = moved[x.view]; x.view < 0 {
			pool.put(x)
			return true
		}
		return false
	})
}

// aspect is an endpoint as a view has it, with the summary that was added to last: so an
// event seldom composes and looks up a key.
type aspect struct {
	view    *View
	index   int    // of the view
	from    int64  // of the bucket of the summary, µs
	group   []byte // of the summary: what the view groups by
	summary *openSummary
}

// summary gives the open summary of a bucket that an event is added to.
func (e *Engine) summary(b *openBucket, a *aspect, o *observed) *openSummary {
	var group []byte
	if a.view.group != "" {
		group = fieldText(o.Event, a.view.group)
		group = group[:min(len(group), longestKey+1)] // more of it would not fit in a key either
	}
	if a.summary == nil || a.from != b.from || string(a.group) != string(group) {
		a.from, a.group = b.from, append(a.group[:0], group...)
		a.summary = e.summaryOf(b, a.index, o.endpoint, group)
	}
	return a.summary
}

// summaryOf finds or opens the summary of an endpoint and group in a bucket. An endpoint
// beyond the bounds is pooled with the others of its group.
func (e *Engine) summaryOf(b *openBucket, view int, ep *endpoint, group []byte) *openSummary {
	s, v := &e.summaries, &b.views[view]
	key := ep.key
	if len(group) > 0 {
		s.key = appendSummaryKey(s.key[:0], ep.key, group)
		key = s.key
	}
	if x := v.endpoints[string(key)]; x != nil {
		return x
	}
	pooled := len(key) > longestKey
	if !pooled && !v.full {
		most := cmp.Or(e.opts.MaxEndpoints, openEndpoints)
		v.full = v.named >= most || s.named(view) >= openBuckets*most
	}
	if pooled = pooled || v.full; pooled {
		s.key = appendPooledKey(s.key[:0], group)
		if x := v.endpoints[string(s.key)]; x != nil {
			return x
		}
		if v.pooled >= openGroups {
			s.key = appendPooledKey(s.key[:0], nil)
			if x := v.endpoints[string(s.key)]; x != nil {
				return x
			}
		}
		key = s.key
	}
	name := ep.name
	if string(key) != name {
		name = string(key)
	}
	x := s.pool.take()
	x.Version, x.View, x.Endpoint, x.Pooled = schemas.SummaryVersion, s.views[view], name, pooled
	x.Topic, x.Partition, x.Start = e.opts.Topic, e.opts.Partition, b.start
	x.view, x.copy = view, s.copying.number
	b.put(x)
	return x
}

// appendSummaryKey appends the key of an endpoint, "METHOD template", in a group: "METHOD
// group/template".
func appendSummaryKey(dst, endpoint, group []byte) []byte {
	method, path, _ := bytes.Cut(endpoint, blank)
	dst = append(append(append(dst, method...), ' '), group...)
	return append(append(dst, '/'), bytes.TrimPrefix(path, slash)...)
}

var blank = []byte{' '}

// appendPooledKey appends the key of the endpoints of a group that are not told apart.
func appendPooledKey(dst, group []byte) []byte {
	dst = append(dst, '*')
	if len(group) == 0 || len(group) > longestKey {
		return dst
	}
	return append(append(dst, ' '), group...)
}

// named is how many endpoints of a view are told apart in all open buckets.
func (s *summaries) named(view int) int {
	n := 0
	for _, b := range s.open {
		n += b.views[view].named
	}
	return n
}

// summaryPool keeps what was used for later buckets, so that events find memory there.
type summaryPool struct {
	free    []*openSummary
	buckets []*openBucket
	made    int   // summaries, free or not
	most    int   // of those, how many were in use at a time since the pool was trimmed
	bytes   int64 // of all that were made
}

// summaryOverhead is what a summary takes besides its lists, with its place in a map.
const summaryOverhead = int64(unsafe.Sizeof(openSummary{})) + 64

// take gives an empty summary.
func (p *summaryPool) take() *openSummary {
	n := len(p.free)
	if n == 0 {
		p.made++
		p.most = max(p.most, p.made)
		p.bytes += summaryOverhead
		return &openSummary{}
	}
	x := p.free[n-1]
	p.free = p.free[:n-1]
	p.most = max(p.most, p.made-len(p.free))
	return x
}

// put takes a summary back.
func (p *summaryPool) put(x *openSummary) {
	clear(x.peers.Tops)
	x.peers = schemas.Peers{Moves: x.peers.Moves[:0], Tops: x.peers.Tops[:0]}
	x.Summary = schemas.Summary{Latency: x.Latency[:0], Evidence: x.Evidence[:0], Clients: x.Clients[:0]}
	p.free = append(p.free, x)
}

// bucket gives an empty bucket that begins at a time, with so many views.
func (p *summaryPool) bucket(from int64, views int) *openBucket {
	var b *openBucket
	if n := len(p.buckets); n > 0 {
		b, p.buckets = p.buckets[n-1], p.buckets[:n-1]
	} else {
		b = &openBucket{}
	}
	b.from, b.start = from, from/second
	if len(b.views) != views {
		b.views = make([]openView, views)
	}
	return b
}

// recycle takes a bucket back, with its summaries.
func (p *summaryPool) recycle(b *openBucket) {
	for _, x := range b.summaries {
		p.put(x)
	}
	clear(b.summaries)
	b.summaries, b.requests = b.summaries[:0], 0
	for i := range b.views {
		v := &b.views[i]
		clear(v.endpoints)
		v.named, v.pooled, v.full = 0, 0, false
	}
	p.buckets = append(p.buckets, b)
}

// trim gives memory back where there is twice as much as was in use lately.
func (p *summaryPool) trim() {
	for p.made > 2*p.most && len(p.free) > 0 {
		n := len(p.free) - 1
		p.bytes -= summaryOverhead + p.free[n].listBytes()
		p.free[n], p.free = nil, p.free[:n]
		p.made--
	}
	p.most = p.made - len(p.free)
	if len(p.buckets) > openBuckets {
		clear(p.buckets[openBuckets:])
		p.buckets = p.buckets[:openBuckets]
	}
}
