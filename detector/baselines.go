package detector

import "github.com/apiwarden/apiwarden/schemas"

// Baselines is the second stage of learned rules: it merges the summaries of all partitions
// of the log by endpoint, learns what is normal for each, and judges each bucket by what
// went before it. One goroutine at a time may use it. It has no clock: whoever calls it
// says when a bucket is complete.
//
//	Summary ──Merge──► open buckets ──Close──► series and latency of each endpoint ──► verdicts (Take)
//
// What has been merged already is passed over, whether its bucket is still open or closed;
// so a log of summaries may be read again from any earlier place.
type Baselines struct{}

// BaselinesOptions bound what is learned.
type BaselinesOptions struct {
	MaxBytes int64 // of everything learned; 0: no bound
	Shards   int   // in which it is encoded; 0 is 16
}

// Merging says what became of a summary.
type Merging uint8

const (
	Merged   Merging = iota
	Repeated         // it is in already
	TooLate          // its bucket is closed
	NoView           // no rule looks at what it is of, or its version is another
)

// NewBaselines begins with nothing learned.
func NewBaselines(p *Program, o BaselinesOptions) *Baselines { panic("to be built") }

// Adopt goes on by other rules; what is learned stays, by view.
func (b *Baselines) Adopt(p *Program) {}

// Merge takes in a summary. It is not kept.
func (b *Baselines) Merge(s *schemas.Summary) Merging { return NoView }

// Mark notes how far a partition of the log is.
func (b *Baselines) Mark(m *schemas.SummaryMark) {}

// Complete gives until when all partitions of the log have closed their buckets, and
// Newest until when the one that is farthest has; s since the epoch, 0 where that is unknown.
func (b *Baselines) Complete() int64 { return 0 }
func (b *Baselines) Newest() int64   { return 0 }

// Close judges the buckets that end at until or before, in their order, whether they are
// complete or not. trigger stands in the verdicts: in a file the record whose time closed
// the bucket, from Kafka nil.
func (b *Baselines) Close(until int64, trigger *schemas.Position) {}

// Take gives the verdicts since the last Take.
func (b *Baselines) Take() []schemas.Verdict { return nil }

// Shards is in how many pieces what is learned is encoded.
func (b *Baselines) Shards() int { return 16 }

// AppendShard appends the encoding of one piece to dst: all that was learned, and what is
// in its open buckets.
func (b *Baselines) AppendShard(dst []byte, shard int) []byte { return dst }

// RestoreShard takes in what AppendShard gave, perhaps of another number of shards. On an
// error nothing was taken in.
func (b *Baselines) RestoreShard(data []byte) error { return nil }

// Learned lists what is known, by endpoint, for people to read (`baseline show`).
func (b *Baselines) Learned() []LearnedEndpoint { return nil }

// LearnedEndpoint is to be designed with `apiwarden baseline show`; it has JSON tags.
type LearnedEndpoint struct{}

// BaselinesStats are for metrics.
type BaselinesStats struct {
	Endpoints  int // of which something is learned
	Pooled     int // endpoints that were pooled, being rare or beyond the bound
	StateBytes int64
	Open       int // episodes
}

// Stats gives the totals.
func (b *Baselines) Stats() BaselinesStats { return BaselinesStats{} }
