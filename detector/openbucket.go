package detector

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// openBucket is a bucket of event time whose summaries are not published yet.
type openBucket struct {
	start     int64 // s
	from      int64 // the same, µs
	requests  int64 // of all endpoints, whether a view sees them or not
	summaries []*openSummary
	ids       []string // of the views
	views     []openView
}

// openView is what a bucket has of one view.
type openView struct {
	endpoints map[string]*openSummary // by key; nil as long as there are none
	named     int                     // those that are told apart
	pooled    int                     // the others
	full      bool                    // no more are told apart; it stays so, whatever becomes of the bound
}

// sort puts the summaries of a bucket in the order in which they are published.
func (b *openBucket) sort() {
	slices.SortFunc(b.summaries, func(x, y *openSummary) int {
		return cmp.Or(cmp.Compare(x.view, y.view), strings.Compare(x.endpoint, y.endpoint))
	})
}

// put puts a summary in under its key.
func (b *openBucket) put(x *openSummary) {
	b.summaries = append(b.summaries, x)
	v := &b.views[x.view]
	if v.endpoints == nil {
		v.endpoints = make(map[string]*openSummary)
	}
	v.endpoints[x.endpoint] = x
	if x.pooled {
		v.pooled++
	} else {
		v.named++
	}
}

// align gives views the indexes that they have moved to, among others; what has moved to -1
// is dropped.
func (b *openBucket) align(moved []int, ids []string, pool *summaryPool) {
	all := make([]openView, len(ids))
	for from, to := range moved {
		if to >= 0 {
			all[to] = b.views[from]
		}
	}
	b.ids, b.views = ids, all
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
	x.view, x.endpoint, x.pooled, x.start, x.copy = view, name, pooled, b.start, s.copying.number
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
