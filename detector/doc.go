// Package detector decides. It turns a rules file into a Program and judges events
// with it. It has no I/O but reading rules files, no goroutine and no clock.
//
//	rules file ──Load──► Program (immutable, shared by all partitions)
//	                        │
//	schemas.Event ──► Engine.Observe (one Engine a partition, one goroutine at a time)
//	                        │
//	                        ├──► verdicts and ban changes, taken with Engine.Take
//	                        └──► summaries of endpoints, taken with Engine.TakeSummaries
//
// # Files
//
// From a rules file to a Program, once:
//
//   - load.go, settings.go, readrule.go, yamlvalue.go, problem.go: YAML to Ruleset,
//     every problem with its file and line; keys.go says which key belongs to what
//   - rule.go, version.go: a rule with its defaults filled in, and what it decides by
//   - pattern.go, statuspattern.go, jsonpath.go (json*.go), casefold.go: patterns
//   - when.go (when*.go), field.go, eventfield.go: conditions and fields of an event
//   - endpointpattern.go, template.go, fold.go: which endpoint an event is of
//   - program.go: bundles (rules that share a record), their lanes and cells; view.go:
//     what learned rules look at
//
// An event's way, in the order in which it meets them:
//
//   - engine.go: Observe, from the event's time to the rules that count it
//   - watermark.go: event time, lateness, what is refused as too far ahead
//   - copy.go: a record that was keyed anew, and which rules judge it
//   - endpoint.go: METHOD + template, and the plan of all that the event can touch
//   - foresee.go: what an event says by itself, looked at for several events ahead, so
//     that their state is in the processor's caches by then (prefetch.go)
//   - shard.go, subject.go, table.go, arena.go (hugepages_*.go), record.go, log.go,
//     compact.go: the counts; evict.go and names.go bound them
//   - kind.go: what a detector type is; counting.go, ratio.go, match.go, distinct.go
//     (with valueset.go, valuetable.go, valuelist.go), walk.go (with trail.go), peers.go
//     (with metric.go): one type, or family of types, each
//   - decide.go, verdict.go, ban.go, budget.go: what follows from the rules that fire;
//     manual.go is what people have decided
//
// What learned rules look at, beside the counts:
//
//   - summaries.go: stage one, from an event to the summaries of the buckets that are
//     closed; openbucket.go finds an endpoint's, within bounds
//   - measure.go, opensummary.go: what an event says, and a summary while it is added to;
//     summarypool.go keeps their memory
//   - sizing.go: sizes of requests in a copy of a summary
//   - comparing.go: how clients come to stand beside each other, of outlier rules
//
// What is normal for a number, learned, apart from engines and rules:
//
//   - series.go: Series, which judges a series of closed buckets; deviation.go, season.go
//     and extent.go are what it knows of it, seriesfinding.go what it says,
//     seriesstate.go how it is encoded
//   - latency.go: Latency, which judges the requests of one endpoint; latencyhistogram.go
//     and latencyrise.go are what it knows, latencyfinding.go what it says,
//     latencystate.go how it is encoded; sensitivity.go
//
// What is normal for each endpoint, of what all partitions say (stage two of learned rules):
//
//   - baselines.go: Baselines; learnedview.go is which rules judge what
//   - learnedshard.go: what was merged and is not judged yet, and how far the log is;
//     closing.go judges it
//   - learnedendpoint.go: what is known of an endpoint, and whether it is busy enough to be
//     judged by itself; learnedroom.go bounds all of them
//   - judging.go, sensitivity.go: what is worth a verdict; learnedlatency.go is that of latency
//   - episode.go, learnedverdict.go: what goes on, and what is said of it
//   - size.go: what is known of how large requests are; learnedsize.go has rules tell of it.
//     unseen.go: endpoints that are used for the first time
//   - learnedcrowd.go: the same of clients that are unlike their peers; crowd.go is what
//     is known of the clients of an endpoint, crowdjudge.go who is an outlier among them,
//     population.go their quantiles and how far they reach
//   - learnedstate.go, crowdstate.go, learnedshow.go: what is known, for the state topic and for people
//
// From memory to a snapshot and back, a shard at a time:
//
//   - snapshot.go, savedban.go: Copy, which stops the partition, and Append, which does not
//   - restore.go: Restore, and the checks without which nothing that was read is used
//   - layout.go, adopt.go: the counts of one program as those of another
//   - summarycopy.go, summaryrestore.go: open summaries, which are one more piece
//
// # The state of a subject
//
// One record per subject in an arena without pointers, found by one look-up in an
// open-addressing table keyed by the 16 bytes of the address. Rules that count
// events share one log of the subject's recent events: 8 bytes an entry, 48 bits
// of time and a bit per rule ("lane"). Each lane has a cell: how many of its
// events lie in its window and where the oldest of them stands in the log. A rule
// that counts per endpoint (or another group) has a record of its own per group. What
// a kind has to know besides stands in further cells of fixed size (distinct: refers to a
// set of values). A walk rule has both: a lane for its steps and a trail, which says
// whether an event that it sees is one and so gets into the log.
//
// What is certain to matter to no later verdict is dropped, by rules that depend on
// the events alone (compact.go, thinRuns, sweepShard); so a replay of the same log
// gives the same verdicts whenever things were dropped.
//
// All that belongs to a subject lies in one of the partition's shards, by a hash of the
// subject; the first byte of a record's key tells the shard even where the key is that of
// a group. Between shards only the clock and the ban budgets are shared. So each
// can be snapshotted at another offset: restored, it ignores the events that it contains,
// and from then on decides what an engine does that was never interrupted, down to what
// it evicts. Where something depends on how much room a block or a set has left, the
// snapshot has that room too.
//
// # Summaries
//
// Learned rules judge endpoints over all clients, and clients are spread over partitions.
// So an engine only summarizes: of each view, each endpoint and ten seconds of event time
// it gives counts, a histogram of latencies, evidence and hashes of clients, once the
// watermark has passed. All of these can be merged, and depend on the events alone:
// hashes have fixed seeds, bans and everything else in the shards are not looked at. A bucket
// that is closed is never opened again. Its content is a function of the log, the rules and
// the bounds, also after a restore: open summaries are copied as one more piece, which ignores
// the events that it contains. Only a view that other rules bring, or a size that they judge,
// begins in the middle of the buckets that are open then.
package detector
