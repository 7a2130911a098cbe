-- One row per accepted event. The identity of a row is where its record stands in
-- Kafka; what precedes it in the sort key follows from the record alone (not from
-- the configuration), so that a record written twice is one row under FINAL.
-- The hour comes first so that a time range reads little, then the client.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS {{.Database}}.events{{.OnCluster}}
(
    `timestamp`       DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    `client_ip`       String CODEC(ZSTD(1)),
    `method`          LowCardinality(String),
    `path`            String CODEC(ZSTD(1)),
    `query`           String CODEC(ZSTD(1)),
    `status`          UInt16 CODEC(ZSTD(1)),
    `route`           LowCardinality(String),
    `service`         LowCardinality(String),
    `host`            LowCardinality(String),
    `latency_ms`      Nullable(Float64) CODEC(ZSTD(1)),
    `request_bytes`   Nullable(Int64) CODEC(ZSTD(1)),
    `response_bytes`  Nullable(Int64) CODEC(ZSTD(1)),
    `user_agent`      String CODEC(ZSTD(1)),
    `user_id`         String CODEC(ZSTD(1)),
    `api_key_id`      String CODEC(ZSTD(1)),
    `referer`         String CODEC(ZSTD(1)),
    `peer_ip`         String CODEC(ZSTD(1)),
    `x_forwarded_for` String CODEC(ZSTD(1)),
    `response_body`   String CODEC(ZSTD(3)),
    `response_fields` String CODEC(ZSTD(3)),
    `blocked`         Bool,
    `event_id`        String CODEC(ZSTD(1)),
    `extra`           String COMMENT 'unknown fields of the event, as a JSON object' CODEC(ZSTD(3)),
    `subject`         String COMMENT 'whom the event counts for' CODEC(ZSTD(1)),
    `endpoint`        LowCardinality(String) COMMENT 'METHOD and path template',
    `topic`           LowCardinality(String),
    `partition`       Int32 CODEC(ZSTD(1)),
    `offset`          Int64 CODEC(Delta, ZSTD(1)),
    `record_time`     DateTime64(6, 'UTC') COMMENT 'timestamp of the Kafka record' CODEC(Delta, ZSTD(1)),
    INDEX timestamp_range `timestamp` TYPE minmax GRANULARITY 1,
    INDEX subject_values `subject` TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX user_values `user_id` TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX status_values `status` TYPE set(100) GRANULARITY 4
)
ENGINE = {{.Engine "events"}}
PARTITION BY toYYYYMMDD(record_time)
PRIMARY KEY (toStartOfHour(record_time), client_ip, `timestamp`)
ORDER BY (toStartOfHour(record_time), client_ip, `timestamp`, topic, partition, offset)
{{- with .TTL "events"}}
TTL {{.}}
{{- end}}
SETTINGS ttl_only_drop_parts = 1;
