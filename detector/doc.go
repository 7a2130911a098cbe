// Package detector decides. It turns a rules file into a Program and judges events
// with it. It has no I/O but reading rules files, no goroutine and no clock.
//
//	rules file ──Load──► Program (immutable, shared by all partitions)
//	                        │
//	schemas.Event ──► Engine.Observe (one Engine a partition, one goroutine at a time)
//	                        │
//	                        └──► verdicts and ban changes, taken with Engine.Take
//
// # Files, in the order in which an event meets them
//
//   - load.go, rule.go: YAML to Rule, every problem with file and line
//   - pattern.go, jsonpath.go, when.go, template.go, durations.go: what a Rule is made of
//   - program.go: Rules to Program: lanes, classes, plans
//   - engine.go: Observe, from the event's time to its verdicts
//   - watermark.go: event time, lateness, what is refused as too far ahead
//   - endpoint.go: METHOD + template of an event, and the plan of what it can touch
//   - table.go, arena.go, record.go, log.go: the state of a subject
//   - lanes.go, distinct.go, match.go, ratio.go: one detector kind each
//   - ban.go, verdict.go: what a firing rule leads to
//
// # The state of a subject
//
// One record per subject in an arena without pointers, found by one look-up in an
// open-addressing table keyed by the 16 bytes of the address. Rules that count
// events share one log of the subject's recent events: 8 bytes an entry, 48 bits
// of time and a bit per rule ("lane"). Each lane has a cell: how many of its
// events lie in its window and where the oldest of them stands in the log. A rule
// that counts per endpoint (or another group) has a record of its own per group.
package detector
