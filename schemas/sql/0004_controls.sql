-- The audit of manual changes: one row per record of the control topic. The identity
-- of a row is where its record stands in Kafka; what precedes it in the sort key
-- follows from the record alone.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS {{.Database}}.controls{{.OnCluster}}
(
    `scope`       LowCardinality(String),
    `value`       String CODEC(ZSTD(1)),
    `op`          LowCardinality(String) COMMENT 'ban, unban, exempt or unexempt',
    `for_s`       Nullable(Float64) COMMENT 'how long, in seconds, as it was asked for' CODEC(ZSTD(1)),
    `reason`      String CODEC(ZSTD(3)),
    `by`          String CODEC(ZSTD(1)),
    `at`          DateTime64(6, 'UTC') COMMENT 'when it was asked for, by the clock of who did' CODEC(ZSTD(1)),
    `expires_at`  Nullable(DateTime64(6, 'UTC')) COMMENT 'null: it does not end by itself' CODEC(ZSTD(1)),
    `record_time` DateTime64(6, 'UTC') COMMENT 'timestamp of the Kafka record' CODEC(Delta, ZSTD(1)),
    `topic`       LowCardinality(String),
    `partition`   Int32 CODEC(ZSTD(1)),
    `offset`      Int64 CODEC(Delta, ZSTD(1))
)
ENGINE = {{.Engine "controls"}}
PARTITION BY toYYYYMM(record_time)
PRIMARY KEY (scope, value, record_time)
ORDER BY (scope, value, record_time, topic, partition, offset)
{{- with .TTL "controls"}}
TTL {{.}}
{{- end}}
SETTINGS ttl_only_drop_parts = 1;
