package detector

import "github.com/apiwarden/apiwarden/schemas"

// Stage one (to be built): Engine summarizes what learned rules look at.

// TakeSummaries gives the summaries of the buckets that were closed since the last call,
// and the mark that follows them, nil where no bucket was closed. They are valid until
// the next Observe. Partitions of the mark is left 0 for the caller to fill in.
func (e *Engine) TakeSummaries() ([]schemas.Summary, *schemas.SummaryMark) { return nil, nil }

// SummaryShard is the number of the piece in which open summaries are copied and restored,
// beside the shards 0 to Shards-1 of counts, by the same BeginCopy, GoOnCopying, Append and
// Restore.
func (e *Engine) SummaryShard() int { return len(e.shards) }
