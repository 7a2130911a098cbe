package detector

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// mostViewBuckets bounds the product of the views and the buckets of a copy.
const mostViewBuckets = 1 << 18

// restoreSummaries puts the open summaries back as a copy says. They wait until the engine
// is where the copy was begun: on the way there the program may become the one whose views
// they are of. After an error there are none.
func (e *Engine) restoreSummaries(h SnapshotHeader, copied []byte) error {
	e.summaries = summaries{views: e.program.viewIDs()}
	head, lists, err := cutSnapshot(copied)
	if err != nil {
		return err
	}
	var rest summaryRest
	if err := json.Unmarshal(head, &rest); err != nil {
		return fmt.Errorf("reading what precedes the summaries of a snapshot: %w", err)
	}
	if rest.Format != summaryFormat {
		return fmt.Errorf("%w: its summaries are of format %d, known is %d", ErrSnapshotVersion, rest.Format, summaryFormat)
	}
	s := summaries{views: rest.Views, next: h.Next, waiting: true}
	if rest.Started {
		s.closeUntil(rest.Closed)
		s.told = s.closed
	}
	s.copying.number = h.Number
	r := summaryReader{s: &s, b: lists}
	if err := r.buckets(rest.Buckets); err != nil {
		return fmt.Errorf("restoring open summaries: %w", err)
	}
	for range rest.Summaries {
		if err := r.summary(); err != nil {
			return fmt.Errorf("restoring open summaries: %w", err)
		}
	}
	if len(r.b) > 0 {
		return fmt.Errorf("restoring open summaries: %d bytes follow the last one", len(r.b))
	}
	e.summaries = s
	e.wake = min(e.wake, h.Next)
	e.restored = append(e.restored, h)
	return nil
}

// wakeSummaries has restored summaries go on, where they contain what precedes an offset
// and no more.
func (e *Engine) wakeSummaries(offset int64) {
	s := &e.summaries
	switch {
	case !s.waiting:
	case s.next <= offset:
		s.waiting = false
		s.align(e.program)
	default:
		e.wake = min(e.wake, s.next)
	}
}

// summaryReader reads open summaries. Nothing that it reads is trusted: what later work
// relies on is checked, so that a snapshot that is wrong is an error, not a panic.
type summaryReader struct {
	s   *summaries
	b   []byte
	err error // the first one
}

var errSummaryCut = errors.New("they are cut")

// buckets opens the buckets of a copy.
func (r *summaryReader) buckets(saved []savedBucket) error {
	if len(saved)*len(r.s.views) > mostViewBuckets {
		return fmt.Errorf("there are %d buckets of %d views", len(saved), len(r.s.views))
	}
	last := r.s.closed - schemas.SummarySeconds
	for _, x := range saved {
		if x.Start <= last || x.Start > math.MaxInt64/second-schemas.SummarySeconds || mod(x.Start, schemas.SummarySeconds) != 0 || x.Requests < 0 {
			return fmt.Errorf("a bucket begins at %d, with %d requests", x.Start, x.Requests)
		}
		last = x.Start
		b := r.s.pool.bucket(x.Start*second, r.s.views)
		b.requests = x.Requests
		for _, view := range x.Full {
			if view < 0 || view >= len(b.views) {
				return fmt.Errorf("a bucket is full of view %d, of which there are %d", view, len(b.views))
			}
			b.views[view].full = true
		}
		r.s.open = append(r.s.open, b)
	}
	return nil
}

// number reads a number that is not negative, and not over most; 0 after an error.
func (r *summaryReader) number(most int64) int64 {
	n, size := binary.Uvarint(r.b)
	switch {
	case r.err != nil:
		return 0
	case size <= 0:
		r.err = errSummaryCut
		return 0
	case n > uint64(most):
		r.err = fmt.Errorf("a number is %d, at most it can be %d", n, most)
		return 0
	}
	r.b = r.b[size:]
	return int64(n)
}

// cut takes bytes off; zeros after an error.
func (r *summaryReader) cut(n int64) []byte {
	if r.err == nil && n > int64(len(r.b)) {
		r.err = errSummaryCut
	}
	if r.err != nil {
		return make([]byte, min(n, longestKey+2))
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// small reads a number of one byte.
func (r *summaryReader) small(most byte) byte {
	n := r.cut(1)[0]
	if n > most && r.err == nil {
		r.err = fmt.Errorf("a number is %d, at most it can be %d", n, most)
	}
	if r.err != nil {
		return 0
	}
	return n
}

// summary reads one summary.
func (r *summaryReader) summary() error {
	front := r.number(math.MaxInt32)
	start := r.s.closed + r.number(math.MaxInt64/(2*bucketMicros))*schemas.SummarySeconds
	key := r.cut(r.number(longestKey + 2))
	if r.err != nil {
		return r.err
	}
	at, there := slices.BinarySearchFunc(r.s.open, start, func(b *openBucket, start int64) int { return cmp.Compare(b.start, start) })
	if !there {
		return fmt.Errorf("a summary is of %d, where no bucket is open", start)
	}
	b, view := r.s.open[at], int(front>>summaryFlags)
	if view >= len(b.views) {
		return fmt.Errorf("a summary is of view %d, of which there are %d", view, len(b.views))
	}
	if b.views[view].endpoints[string(key)] != nil {
		return fmt.Errorf("%q is there twice", key)
	}
	x := r.s.pool.take()
	x.view, x.endpoint, x.pooled, x.start, x.copy = view, string(key), front&summaryPooled != 0, start, r.s.copying.number
	if front&summarySized != 0 {
		x.sizes = r.s.pool.sizing()
		r.sizes(x.sizes, start)
	}
	switch {
	case front&summaryCompared != 0:
		x.peers = r.s.pool.comparing()
		r.peers(x.peers)
	case front&summaryTallied != 0:
		x.tally = r.s.pool.tally()
		r.tally(x.tally)
	default:
		x.n = int(r.small(fewMeasures))
		for i := range x.few[:x.n] {
			r.measure(&x.few[i])
		}
	}
	b.put(x)
	return r.err
}

func (r *summaryReader) measure(m *measure) {
	m.class, m.timed = r.small(4), r.small(1) == 1
	m.bytes = r.number(mostBytes)
	m.client = binary.LittleEndian.Uint32(r.cut(4))
	v := r.evidence()
	m.ms, m.after, m.hash = v.ms, v.after, v.hash
}

func (r *summaryReader) evidence() evidence {
	b := r.cut(16)
	v := evidence{ms: math.Float64frombits(binary.LittleEndian.Uint64(b)), after: binary.LittleEndian.Uint32(b[8:]), hash: binary.LittleEndian.Uint32(b[12:])}
	if (!(v.ms >= 0 && v.ms <= math.MaxFloat64) || int64(v.after) >= bucketMicros) && r.err == nil {
		r.err = fmt.Errorf("a request took %g ms, at %d µs of its bucket", v.ms, v.after)
	}
	return v
}

func (r *summaryReader) tally(t *tallied) {
	for _, n := range []*int64{&t.requests, &t.bytes, &t.micros} {
		*n = r.number(math.MaxInt64)
	}
	for i := range t.classes {
		t.classes[i] = uint32(r.number(math.MaxUint32))
	}
	for bin := r.small(schemas.LatencyBins); bin < schemas.LatencyBins && r.err == nil; bin = r.small(schemas.LatencyBins) {
		t.latency[bin] = uint32(r.number(math.MaxUint32))
	}
	for at := range t.evidenced {
		t.evidenced[at] = r.small(schemas.SummaryEvidence)
		for i := range t.evidence[at][:t.evidenced[at]] {
			v := r.evidence()
			if v.after/1e6 != uint32(at) && r.err == nil {
				r.err = errors.New("evidence lies in another second")
			}
			t.evidence[at][i] = v
		}
	}
	t.clients = r.small(schemas.SummaryClients)
	for i := range t.hashes[:t.clients] {
		t.hashes[i] = binary.LittleEndian.Uint32(r.cut(4))
		t.largest = t.hashes[i]
		if i > 0 && t.hashes[i] <= t.hashes[i-1] && r.err == nil {
			r.err = errors.New("hashes of clients are out of order")
		}
	}
}
