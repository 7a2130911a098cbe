// Package consumer drives: it is the two roles that read Kafka.
//
//	            ┌── a turn of the loop (session.go) ─────────────────────────────┐
//	api-logs ──►│ poll ─► judge, partitions side by side ─► deliver ─► mark      │
//	            │         (partition.go: decode, observe)   (acknowledged)       │
//	            └────────────────────────────────────────────────────────────────┘
//	                                                  └──► api-verdicts, api-bans, api-logs-dlq
//
// Detect (detect.go) judges. Between a poll and the mark the group does not
// rebalance, so a partition's engine is touched by one goroutine at a time and needs
// no lock (member.go, assignment.go). An offset is marked only when every verdict, ban
// change and dead letter of the records up to it is acknowledged; what is marked is
// committed each second, when partitions are revoked and at the end. So a crash
// repeats work and loses none; verdict ids make the repetition harmless.
//
// Store (store.go, storing.go) takes what detect accepts and every verdict to
// ClickHouse, in a group of its own: a batch of rows (rowbatch.go) is inserted and then
// marked (shipment.go), while the next one is being taken. While ClickHouse is away or
// refuses, it keeps those two, polls no more, and lets the group rebalance when that
// wants to; afterwards it tells how fast it catches up (pace.go).
//
// Records that cannot be used are dead-lettered by detect alone, with their reason;
// store skips them, and dead-letters only rows that ClickHouse refuses for ever. The lag (lag.go) comes from the fetches themselves and is
// computed when it is asked for, so that it rises while the loop waits.
//
// Counts live in memory only: a partition that is assigned starts with none, and a
// log line says so.
package consumer
