// Package consumer drives: it is the roles that read Kafka.
//
//	            ┌── a turn of the loop (session.go) ─────────────────────────────┐
//	api-logs ──►│ poll ─► judge, partitions side by side ─► deliver ─► mark      │
//	            │         (partition.go: decode, observe)   (acknowledged)       │
//	            └────────────────────────────────────────────────────────────────┘
//	                                                  └──► api-verdicts, api-bans, api-logs-dlq
//	apiwarden-control ──► the ban table, at once; the loop, at its next turn (control.go)
//
// Detect (detect.go) judges. Between a poll and the mark the group does not
// rebalance, so a partition's engine is touched by one goroutine at a time and needs
// no lock (member.go, assignment.go). An offset is marked only when every verdict, ban
// change and dead letter of the records up to it is acknowledged; what is marked is
// committed each second, when partitions are revoked and at the end. So a crash
// repeats work and loses none; verdict ids make the repetition harmless.
//
// Rekey (rekey.go, rekeying.go) stands in front of detect where input.rekey is on. It
// keeps nothing and decides nothing: it writes copies of the records to the topic
// events (copy.go), keyed by their subject, in a Kafka transaction with the offsets
// behind them. Detect reads the copies, of committed transactions alone, and takes
// position and time of each event's own record from their headers (source.go).
//
// Store (store.go, storing.go) takes what detect accepts, every verdict and every change
// by hand to ClickHouse, in a group of its own: rows in hand are inserted, then marked. While
// ClickHouse is away it keeps what it has, polls no more, and lets the group
// rebalance when that wants to.
//
// Records that cannot be used are dead-lettered by detect alone, with their reason;
// store skips them. The lag (lag.go) comes from the fetches themselves and is
// computed when it is asked for, so that it rises while the loop waits.
//
// Counts live in memory only: a partition that is assigned starts with none, and a
// log line says so.
package consumer
