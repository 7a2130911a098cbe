// Package sink delivers: verdicts and bans to Kafka, events and verdicts to
// ClickHouse. A call returns when what it was given is durable, or says why not:
// with a PermanentError what waiting does not heal. Everything else it tries again,
// for as long as its context lives.
//
// # To Kafka
//
//   - kafka_config.go, kafka.go, tls.go: where the cluster is, and a client that has reached it
//   - kafka_group.go: how members of a group share its partitions
//   - topics_config.go, topics.go: the topics, made where they are missing
//   - producer.go, verdicts.go, deadletters.go, summaries.go: records, sent until they are acknowledged
//   - follow.go: a compacted topic, read from its start and followed
//   - bans.go, bantable.go, readbans.go: the ban topic, which has several writers
//   - statepiece.go, state.go, readstate.go: the state topic, in pieces that are taken
//     whole or not at all
//   - control.go, manual.go: the control topic, and what people have said on it
//
// # To ClickHouse
//
//   - clickhouse_config.go, clickhouse.go: where the server is, a connection, trying again
//   - clickhouse_errors.go: which errors pass, which need somebody, and which are a row's fault
//   - waiting.go: what ClickHouse is asked for in vain, for the metrics and /readyz
//   - migrate.go, versions.go: the tables of schemas/sql, brought up to date by goose
//   - event_batch.go, event_columns.go, redact.go, redact_key.go: rows of the events table
//   - verdict_rows.go, control_rows.go: rows of the verdicts and the controls table; readverdicts.go
//     reads verdicts back, for those who verify
//   - insert.go, halving.go: a partition of a table at a time; what is refused is
//     halved until the rows at fault stand alone
//
// A row may be sent twice, and is one row under FINAL: the sort key of each table ends
// in the row's identity and has nothing before it that could differ between the two.
package sink
