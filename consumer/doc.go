// Package consumer drives: it is the roles that read Kafka.
//
//	            ┌── a turn of the loop (session.go) ─────────────────────────────┐
//	api-logs ──►│ poll ─► judge, partitions side by side ─► deliver ─► mark      │
//	            │         (partition.go: decode, observe)   (acknowledged)       │
//	            └────────────────────────────────────────────────────────────────┘
//	                                                  └──► api-verdicts, api-bans, api-logs-dlq, endpoint-stats
//	apiwarden-control ──► the ban table, at once; the loop, at its next turn (control.go)
//
// Detect (detect.go) judges. Between a poll and the mark the group does not
// rebalance, so a partition's engine is touched by one goroutine at a time and needs
// no lock (member.go, assignment.go). An offset is marked only when every verdict, ban
// change, dead letter and summary of the records up to it is acknowledged; what is marked is
// committed each second, when partitions are revoked and at the end. So a crash
// repeats work and loses none; verdict ids make the repetition harmless.
//
// Rekey (rekey.go, rekeying.go) stands in front of detect where input.rekey is on. It
// keeps nothing and decides nothing: it writes copies of the records to the topic
// events (copy.go), keyed by their subject, in a Kafka transaction with the offsets
// behind them. Detect reads the copies, of committed transactions alone, and takes
// position and time of each event's own record from their headers (source.go).
//
// Store (store.go, storing.go) takes what detect accepts, every verdict and every
// change by hand to ClickHouse, in a group of its own: a batch of rows (rowbatch.go) is inserted and then
// marked (shipment.go), while the next one is being taken. While ClickHouse is away or
// refuses, it keeps those two, polls no more, and lets the group rebalance when that
// wants to; afterwards it tells how fast it catches up (pace.go).
//
// Stats (stats.go, learning.go, learner.go) is the second stage of learned rules, beside detect
// in the same process and in a group of its own. Where a rule learns, detect writes a summary
// of each endpoint and bucket of event time to the topic endpoint_stats, and a mark after
// those of a bucket (of a partition that is silent by the clock: idle.go, answers.go); whatever partitions of the log it comes from, all of an endpoint meets
// in one partition there. Stats merges it, and judges a bucket once all partitions of
// the log have marked it, or have been waited for long enough (grace.go). What it reads
// twice does no harm, so that it needs no journal: it keeps what it knows on the topic state
// (learningstate.go), goes on from the oldest of those snapshots, and says again only what
// nobody has acknowledged. learned.go reads them for people.
//
// Records that cannot be used are dead-lettered by detect alone, with their reason;
// store skips them, and dead-letters only rows that ClickHouse refuses for ever. The lag
// (lag.go) comes from the fetches themselves and is computed when it is asked for, so that
// it rises while the loop waits.
//
// Verify (verify.go) derives the verdicts from the log once more and compares them with
// those that were written. survey.go says what there is, and in which order that has to be
// asked; rederiving.go judges a partition again, with spans.go reading it, by what its
// journal says; expectations.go keeps what that gives, packed, and comparison.go compares it
// with what is found. haze.go is about what cannot be known of a log that begins too late;
// verifyreport.go is the outcome.
//
// # State
//
// What is counted is a function of the log and of a journal. The topic state has both
// the journal and snapshots of the counts, on a partition with the input's number:
//
//   - journal.go, journaling.go: rules, bounds and manual changes, each with the offset
//     from which it holds. It is acknowledged before the record at that offset is judged.
//     An owner that stops says where. After one that crashed, nothing changes before the
//     offset at which the log ended then (partition.hold): it may have judged those records.
//   - rotation.go, snapshots.go: each shard of a partition is copied once in
//     state.interval, at the end of a turn, when all that came of the records before is
//     acknowledged. The summaries of buckets that are open are one shard more. Goroutines of their own encode, pack and write the copies.
//   - arrivals.go, restore.go: partitions that are gained are restored beside the loop: the
//     newest usable snapshot of each shard, and the log from the smallest offset among them on.
//   - library.go: the rules that a journal names, compiled, and the engine that stands at
//     its beginning.
//   - replay.go: what is read again is judged as the journal says that it was, and its
//     outputs are discarded up to where they are known to be acknowledged. Nothing of it
//     is marked. Then the partition is live (session.settle).
//
// A snapshot names the last entry of the journal that it contains. One that does not
// agree with the journal is of an owner that went on after it was none any more, and is
// not used. Whoever gains a partition writes the journal anew, in a later generation.
package consumer
