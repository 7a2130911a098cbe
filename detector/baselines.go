package detector

import (
	"math"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// Baselines is the second stage of learned rules: it merges the summaries of all partitions
// of the log by endpoint, learns what is normal for each, and judges each bucket by what
// went before it. One goroutine at a time may use it. It has no clock: whoever calls it
// says when a bucket is complete.
//
//	Summary ──Merge──► open buckets ──Close──► series and latency of each endpoint ──► verdicts (Take)
//
// What has been merged already is passed over, whether its bucket is still open or closed;
// so a log of summaries may be read again from any earlier place.
//
// Latency is judged every 10 s, all else every five minutes. What is found does not depend
// on the order in which a bucket's summaries are merged, on how the log is spread over
// partitions, or on whether all was encoded and restored in between.
type Baselines struct {
	options BaselinesOptions
	views   map[string]*learnedView
	shards  []learnedShard
	found   []found // since the last Take
	fresh   bool    // nothing was merged, marked, closed or restored yet
}

// BaselinesOptions bound what is learned.
type BaselinesOptions struct {
	MaxBytes int64 // of everything learned; 0: no bound
	Shards   int   // in which it is encoded; 0 is 16
}

const defaultLearnedShards = 16

// Merging says what became of a summary.
type Merging uint8

const (
	Merged   Merging = iota
	Repeated         // it is in already
	TooLate          // its bucket is closed
	NoView           // no rule looks at what it is of, or its version is another
	NoRoom           // more endpoints are in open buckets than MaxBytes allows; it is lost
)

// NewBaselines begins with nothing learned.
func NewBaselines(p *Program, o BaselinesOptions) *Baselines {
	if o.Shards <= 0 {
		o.Shards = defaultLearnedShards
	}
	b := &Baselines{options: o, views: map[string]*learnedView{}, fresh: true}
	b.begin(o.Shards)
	b.Adopt(p)
	return b
}

// begin makes so many empty shards.
func (b *Baselines) begin(shards int) {
	b.shards = make([]learnedShard, shards)
	for i := range b.shards {
		b.shards[i] = newLearnedShard(b.options.MaxBytes / int64(shards))
	}
}

// Adopt goes on by other rules; what is learned stays, by view. Episodes of rules that
// are gone, or decide otherwise than they did, end without a verdict.
func (b *Baselines) Adopt(p *Program) {
	views := make(map[string]*learnedView)
	for _, v := range p.Views() {
		view := b.views[v.ID]
		if view == nil {
			view = new(learnedView)
		}
		*view = newLearnedView(v)
		views[v.ID] = view
	}
	b.views = views
	for i := range b.shards {
		b.shards[i].adopt(views)
	}
}

// Merge takes in a summary. It is not kept.
func (b *Baselines) Merge(s *schemas.Summary) Merging {
	v := b.views[s.View]
	if v == nil || s.Version != schemas.SummaryVersion || s.Start%schemas.SummarySeconds != 0 {
		return NoView
	}
	b.fresh = false
	return b.shardOf(s.View, s.Endpoint).merge(v, s, b.room())
}

// room says whether open buckets may take more: a share of the bound, whichever shard they
// are in, for few endpoints lie in few shards.
func (b *Baselines) room() bool {
	var open, bound int64
	for i := range b.shards {
		open += b.shards[i].openBytes
		bound += b.shards[i].bound
	}
	return bound == 0 || open < bound/openShare
}

// Oldest gives the start of the oldest bucket in which something is open, s since the
// epoch; 0 where nothing is.
func (b *Baselines) Oldest() int64 {
	oldest := int64(math.MaxInt64)
	for i := range b.shards {
		for start := range b.shards[i].open {
			oldest = min(oldest, start)
		}
	}
	if oldest == math.MaxInt64 {
		return 0
	}
	return oldest
}

// shardOf gives the shard of an endpoint, by a hash that stays the same (FNV-1a).
func (b *Baselines) shardOf(view, endpoint string) *learnedShard {
	h := uint64(14695981039346656037)
	for _, s := range [...]string{view, "\x00", endpoint} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	return &b.shards[h%uint64(len(b.shards))]
}

// Mark notes how far a partition of the log is.
func (b *Baselines) Mark(m *schemas.SummaryMark) {
	if m.Version != schemas.SummaryVersion || m.Partition < 0 || int(m.Partition) >= m.Partitions || m.Partitions > maxLogPartitions {
		return
	}
	b.fresh = false
	for i := range b.shards {
		b.shards[i].mark(m)
	}
}

// Complete gives until when all partitions of the log have closed their buckets, and
// Newest until when the one that is farthest has; s since the epoch, 0 where that is
// unknown. Of what was restored, the piece that is the least far counts.
func (b *Baselines) Complete() int64 { return b.least((*learnedShard).complete) }

// Newest is described with Complete.
func (b *Baselines) Newest() int64 { return b.least((*learnedShard).newest) }

func (b *Baselines) least(of func(*learnedShard) int64) int64 {
	least := of(&b.shards[0])
	for i := range b.shards[1:] {
		least = min(least, of(&b.shards[i+1]))
	}
	return least
}

// Close judges the buckets that end at until or before, in their order, whether they are
// complete or not. trigger stands in the verdicts: in a file the record whose time closed
// the bucket, from Kafka nil.
func (b *Baselines) Close(until int64, trigger *schemas.Position) {
	b.fresh = false
	before := len(b.found)
	for i := range b.shards {
		c := closing{shard: &b.shards[i], views: b.views, trigger: trigger, found: b.found}
		c.close(until)
		b.found = c.found
	}
	slices.SortStableFunc(b.found[before:], found.compare)
}

// Take gives the verdicts since the last Take, by the time at which they were found.
func (b *Baselines) Take() []schemas.Verdict {
	if len(b.found) == 0 {
		return nil
	}
	verdicts := make([]schemas.Verdict, len(b.found))
	for i := range b.found {
		verdicts[i] = b.found[i].verdict
	}
	b.found = b.found[:0]
	return verdicts
}

// Shards is in how many pieces what is learned is encoded. RestoreShard may change it.
func (b *Baselines) Shards() int { return len(b.shards) }

// BaselinesStats are for metrics.
type BaselinesStats struct {
	Endpoints  int // of which something is learned
	Pooled     int // of these, endpoints that are judged with others, being rare
	StateBytes int64
	Open       int // episodes
}

// Stats gives the totals.
func (b *Baselines) Stats() BaselinesStats {
	var t BaselinesStats
	for i := range b.shards {
		s := &b.shards[i]
		t.StateBytes += s.bytes + s.openBytes
		for _, e := range s.endpoints {
			t.Endpoints++
			t.Open += e.open()
			if !e.pool && e.watched == 0 {
				t.Pooled++
			}
		}
	}
	return t
}
