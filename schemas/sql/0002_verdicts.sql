-- One row per verdict_id under FINAL: delivery is at least once, and what precedes
-- verdict_id in the sort key is part of what verdict_id is a hash of. record_time is
-- null where no single record led to the verdict; its partition then goes by the
-- event time, and its end by the time at which it was detected.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS {{.Database}}.verdicts{{.OnCluster}}
(
    `verdict_id`    String CODEC(ZSTD(1)),
    `rule_id`       LowCardinality(String),
    `rule_version`  LowCardinality(String),
    `rule_type`     LowCardinality(String),
    `trigger`       Tuple(topic Nullable(String), partition Nullable(Int32), offset Nullable(Int64)) COMMENT 'the record that tripped the rule',
    `scope`         LowCardinality(String),
    `subject`       String CODEC(ZSTD(1)),
    `endpoint`      LowCardinality(String),
    `action`        LowCardinality(String),
    `action_taken`  LowCardinality(String),
    `count`         Int64 CODEC(ZSTD(1)),
    `threshold`     Nullable(Float64) CODEC(ZSTD(1)),
    `window_s`      Float64 CODEC(ZSTD(1)),
    `score`         Nullable(Float64) CODEC(ZSTD(1)),
    `baseline`      Nullable(Float64) CODEC(ZSTD(1)),
    `details`       String CODEC(ZSTD(3)),
    `event_time`    DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    `record_time`   Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    `detected_at`   DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    `expires_at`    Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    `retry_after_s` Nullable(Int64) CODEC(ZSTD(1)),
    `message`       String CODEC(ZSTD(3)),
    `tags`          Array(String) CODEC(ZSTD(1)),
    `evidence`      Tuple(from_time DateTime64(6, 'UTC'), to_time DateTime64(6, 'UTC'), trigger_event String) COMMENT 'the counted events are those of the subject between these times',
    INDEX subject_values `subject` TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX rule_values `rule_id` TYPE set(100) GRANULARITY 4
)
ENGINE = {{.Engine "verdicts"}}
PARTITION BY toYYYYMM(ifNull(record_time, event_time))
PRIMARY KEY (toStartOfHour(event_time), subject, event_time)
ORDER BY (toStartOfHour(event_time), subject, event_time, verdict_id)
{{- with .TTL "verdicts"}}
TTL {{.}}
{{- end}}
SETTINGS ttl_only_drop_parts = 1;
