package detector

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// SummaryShard is the number of the piece in which open summaries are copied and restored,
// beside the shards 0 to Shards-1 of counts, by the same BeginCopy, GoOnCopying, Append and
// Restore. Copies of it are always whole. One without it, as older versions wrote them,
// can be restored too: no summary is open then.
func (e *Engine) SummaryShard() int { return len(e.shards) }

// summaryRest is what stands in front of the summaries of a copy, besides the header.
type summaryRest struct {
	Format    int           `json:"format"`
	Views     []string      `json:"views"` // what follows names them by their place
	Started   bool          `json:"counting"`
	Closed    int64         `json:"closed"`
	Buckets   []savedBucket `json:"buckets,omitempty"`
	Summaries int           `json:"summaries"`
}

// summaryFormat is the format of summaryRest and of what follows it.
const summaryFormat = 2

type savedBucket struct {
	Start    int64 `json:"start"`
	Requests int64 `json:"requests"`
	Full     []int `json:"full,omitempty"` // views that tell no more endpoints apart
}

// slotsPerSummary is how many slots of a table take as long to copy as a summary.
const slotsPerSummary = 4

// summaryCopying is the copy that is being made of the open summaries. It is made in steps,
// like those of shards: a summary that is about to change is copied first, and what is
// closed or opened meanwhile stays in it, or out of it.
type summaryCopying struct {
	to        *ShardCopy // nil: none is being made
	number    uint64     // of the last copy
	buckets   []*openBucket
	at, place int // where it goes on: the bucket, and the place in it
}

// beginSummaryCopy begins a copy that is finished by goOn.
func (e *Engine) beginSummaryCopy(next int64, c *ShardCopy) {
	s := &e.summaries
	s.copying.number++
	n := s.copying.number
	c.header = e.header(e.SummaryShard(), max(next, s.next), n, n)
	c.open = summaryRest{Format: summaryFormat, Views: slices.Clone(s.views), Started: s.started, Closed: s.closed}
	c.lists, c.made = c.lists[:0], false
	for _, b := range s.open {
		saved := savedBucket{Start: b.start, Requests: b.requests}
		for view := range b.views {
			if b.views[view].full {
				saved.Full = append(saved.Full, view)
			}
		}
		c.open.Buckets = append(c.open.Buckets, saved)
	}
	s.copying = summaryCopying{to: c, number: n, buckets: append(s.copying.buckets[:0], s.open...)}
}

// goOn looks at so many more summaries, and reports whether there is nothing left to do.
func (k *summaryCopying) goOn(summaries int) bool {
	if k.to == nil {
		return true
	}
	for ; k.at < len(k.buckets); k.at, k.place = k.at+1, 0 {
		for list := k.buckets[k.at].summaries; k.place < len(list); k.place++ {
			if summaries == 0 {
				return false
			}
			summaries--
			k.before(list[k.place])
		}
	}
	k.to.made = true
	k.giveUp()
	return true
}

// giveUp ends the copy, finished or not.
func (k *summaryCopying) giveUp() {
	clear(k.buckets)
	k.to, k.buckets = nil, k.buckets[:0]
}

// before puts a summary into the copy, unless that has it or has no need of it. Whoever
// changes a summary calls it before.
func (k *summaryCopying) before(x *openSummary) {
	if k.to == nil || x.copy == k.number {
		return
	}
	k.to.lists = x.append(k.to.lists, k.to.open.Closed)
	k.to.open.Summaries++
	x.copy = k.number
}

// append appends an encoding of the summary: numbers as varints, unless they use most of
// their bits. Closed is until when buckets were closed.
func (x *openSummary) append(dst []byte, closed int64) []byte {
	front := uint64(x.view) << summaryFlags
	if x.pooled {
		front |= summaryPooled
	}
	if x.tally != nil {
		front |= summaryTallied
	}
	if x.peers != nil {
		front |= summaryCompared
	}
	if x.sizes != nil {
		front |= summarySized
	}
	dst = binary.AppendUvarint(dst, front)
	dst = binary.AppendUvarint(dst, uint64((x.start-closed)/schemas.SummarySeconds))
	dst = append(binary.AppendUvarint(dst, uint64(len(x.endpoint))), x.endpoint...)
	if x.sizes != nil {
		dst = appendSizes(dst, x.sizes, x.start)
	}
	switch {
	case x.peers != nil:
		return appendPeers(dst, x.peers)
	case x.tally != nil:
		return x.tally.append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(x.n))
	for i := range x.few[:x.n] {
		dst = x.few[i].append(dst)
	}
	return dst
}

// What the first number of a summary says besides the view.
const (
	summaryPooled   = 1
	summaryTallied  = 2
	summaryCompared = 4
	summarySized    = 8
	summaryFlags    = 4
)

func (m *measure) append(dst []byte) []byte {
	timed := byte(0)
	if m.timed {
		timed = 1
	}
	dst = binary.AppendUvarint(append(dst, m.class, timed), uint64(m.bytes))
	dst = binary.LittleEndian.AppendUint32(dst, m.client)
	return evidence{ms: m.ms, after: m.after, hash: m.hash}.append(dst)
}

func (v evidence) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.ms))
	dst = binary.LittleEndian.AppendUint32(dst, v.after)
	return binary.LittleEndian.AppendUint32(dst, v.hash)
}

func (t *tallied) append(dst []byte) []byte {
	for _, n := range []int64{t.requests, t.bytes, t.micros} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	for _, n := range t.classes {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	for bin, n := range t.latency {
		if n > 0 {
			dst = binary.AppendUvarint(append(dst, byte(bin)), uint64(n))
		}
	}
	dst = append(dst, schemas.LatencyBins) // there are no more
	for at, n := range t.evidenced {
		dst = append(dst, n)
		for _, v := range t.evidence[at][:n] {
			dst = v.append(dst)
		}
	}
	t.settle()
	dst = append(dst, t.clients)
	for _, c := range t.hashes[:t.clients] {
		dst = binary.LittleEndian.AppendUint32(dst, c)
	}
	return dst
}
