// Package consumer drives: it polls Kafka, keeps one engine per assigned partition
// fed, waits until everything that came of a poll is acknowledged, and only then
// marks and commits it.
package consumer
