package detector

import (
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// summaries is stage one of learned rules: of each view of the program, what the events of
// each endpoint say, by buckets of event time. It sees every event of the partition that
// counts, and lies beside the shards: in a piece of its own, with an offset of its own.
//
// What a closed bucket says is a function of the log, the rules and the bounds alone.
type summaries struct {
	views   []string // ids of the views that buckets are of: the program's, or while waiting the copy's
	next    int64    // the summaries contain what precedes this offset already, and ignore it
	waiting bool     // restored, and ahead of the engine
	lost    bool     // see LoseSummaries

	started bool  // closed is known
	closed  int64 // the buckets that end here or before are closed, s
	due     int64 // once the watermark is here the next one closes, µs
	told    int64 // what the last mark said of closed

	open []*openBucket // by start
	done []*openBucket // closed and not taken yet
	lent []*openBucket // whose summaries were taken last
	pool summaryPool
	key  []byte // scratch

	taken []schemas.Summary // of TakeSummaries
	mark  schemas.SummaryMark

	copying summaryCopying
}

const (
	bucketMicros = schemas.SummarySeconds * second

	// openEndpoints is how many endpoints of a view are told apart in a bucket where
	// nothing else is asked for.
	openEndpoints = 10_000
	// openBuckets is how many buckets' worth of endpoints a view may have open in all: there
	// are that many with the lateness that is usual.
	openBuckets = 4
	// openGroups is how many services (or hosts) are told apart of what is pooled.
	openGroups = 256
	// longestKey is how long the key of an endpoint may be that is told apart, in bytes.
	longestKey = 512
)

// closeBuckets closes the buckets that the watermark has passed, before the record at an
// offset is added to those that are open.
func (e *Engine) closeBuckets(offset int64) {
	s := &e.summaries
	wm := e.clock.watermark()
	if offset < s.next || s.started && wm < s.due {
		return
	}
	if !s.started {
		s.told = (wm - mod(wm, bucketMicros)) / second
		if s.lost {
			wm = e.clock.newest + bucketMicros
		}
	}
	s.closeBefore(wm)
}

// LoseSummaries says that there were events before the next one of which open summaries
// would say something, and that they are lost. Buckets in which such may lie are not told
// of. To be called before the first event.
func (e *Engine) LoseSummaries() { e.summaries.lost = true }

// CloseIdle closes the buckets that would be closed had event time gone on for so long (µs)
// since the newest event: where nothing happens, what is open would wait for the next
// event, and all other partitions with it. What comes later all the same is in no summary of
// a bucket that is closed then; rules that count know nothing of it. next is the offset of
// the next record. To be called between events, once all that came before is judged.
func (e *Engine) CloseIdle(next, idle int64) {
	s := &e.summaries
	if wm := e.clock.watermark() + idle; s.started && next >= s.next && wm >= s.due {
		s.closeBefore(wm)
	}
}

// closeBefore closes the buckets that end at a time (µs) or before.
func (s *summaries) closeBefore(t int64) {
	closed := (t - mod(t, bucketMicros)) / second
	s.closeUntil(closed)
	for len(s.open) > 0 && s.open[0].start < closed {
		s.done = append(s.done, s.open[0])
		s.open = slices.Delete(s.open, 0, 1)
	}
}

// closeUntil notes until when buckets are closed.
func (s *summaries) closeUntil(closed int64) {
	s.started, s.closed, s.due = true, closed, closed*second+bucketMicros
}

// mod is the remainder that is never negative.
func mod(x, by int64) int64 { return (x%by + by) % by }

// summarize adds an event to the summaries of the views that see it.
func (e *Engine) summarize(o *observed) {
	s := &e.summaries
	if o.record.Offset < s.next || o.time < s.closed*second || o.record.Copy != nil && o.record.Copy.Key != "" {
		return
	}
	b := s.bucket(o.time)
	b.requests++
	var m measure
	measured := false
	for i := range o.endpoint.views {
		a := &o.endpoint.views[i]
		if a.view.metric != "" || !a.view.sees(e, o) {
			continue
		}
		if !measured {
			m, measured = measureOf(o, b.from), true
		}
		x := e.summary(b, a, o)
		s.copying.before(x)
		x.add(&m, &s.pool)
		if a.view.sizes != (sizeSet{}) && !x.pooled {
			x.measureSizes(&a.view.sizes, o, &s.pool)
		}
	}
}

// bucket gives the open bucket of a time, and opens it where need be.
func (s *summaries) bucket(t int64) *openBucket {
	at := len(s.open)
	for ; at > 0 && t < s.open[at-1].from+bucketMicros; at-- {
		if b := s.open[at-1]; t >= b.from {
			return b
		}
	}
	b := s.pool.bucket(t-mod(t, bucketMicros), s.views)
	s.open = slices.Insert(s.open, at, b)
	return b
}

// TakeSummaries gives the summaries of the buckets that were closed since the last call,
// by start, view and endpoint, and the mark that follows them, nil where no bucket was
// closed. They are valid until the next call. Partitions of the mark is left 0 for
// the caller to fill in. To be called between events, and before a copy is begun: what was
// closed and not taken is in no copy.
func (e *Engine) TakeSummaries() ([]schemas.Summary, *schemas.SummaryMark) {
	s := &e.summaries
	if len(s.done) == 0 && s.told == s.closed {
		return nil, nil
	}
	s.recycleLent()
	s.taken = s.taken[:0]
	s.mark = schemas.SummaryMark{
		Version: schemas.SummaryVersion, Topic: e.opts.Topic, Partition: e.opts.Partition, Closed: s.closed, Traffic: s.mark.Traffic[:0],
	}
	s.copying.place = 0 // the copy goes through a bucket that is being sorted again
	for _, b := range s.done {
		b.sort()
		for _, x := range b.summaries {
			s.taken = slices.Grow(s.taken, 1)[:len(s.taken)+1]
			to := &s.taken[len(s.taken)-1]
			x.fill(to)
			to.Version, to.View, to.Topic, to.Partition = schemas.SummaryVersion, b.ids[x.view], e.opts.Topic, e.opts.Partition
		}
		s.mark.Traffic = append(s.mark.Traffic, schemas.BucketTraffic{Start: b.start, Requests: b.requests})
	}
	s.told = s.closed
	s.lent = append(s.lent, s.done...)
	s.done = s.done[:0]
	return s.taken, &s.mark
}

// recycleLent takes back what was lent, unless a copy that is being made still needs it.
func (s *summaries) recycleLent() {
	if s.copying.to != nil {
		return
	}
	for _, b := range s.lent {
		s.pool.recycle(b)
	}
	s.lent = s.lent[:0]
	s.pool.trim()
}

// align has the open summaries be those of a program: those of its views that are there
// stay, others are dropped.
func (s *summaries) align(p *Program) {
	to := p.viewIDs()
	if slices.Equal(s.views, to) {
		return
	}
	s.copying.giveUp()
	moved := make([]int, len(s.views))
	for i, id := range s.views {
		moved[i] = slices.Index(to, id)
	}
	for _, b := range s.open {
		b.align(moved, to, &s.pool)
	}
	s.views = to
	if len(to) == 0 {
		for _, b := range s.open {
			s.pool.recycle(b)
		}
		s.open, s.started = nil, false
	}
}
