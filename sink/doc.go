// Package sink delivers: verdicts and bans to Kafka, events and verdicts to
// ClickHouse. A call returns when what it was given is durable, or says why not.
package sink
