CREATE DATABASE IF NOT EXISTS apiwarden ON CLUSTER 'main';

-- 0001_events.sql
-- One row per accepted event. The identity of a row is where its record stands in
-- Kafka; what precedes it in the sort key follows from the record alone (not from
-- the configuration), so that a record written twice is one row under FINAL.
-- The hour comes first so that a time range reads little, then the client.

CREATE TABLE IF NOT EXISTS apiwarden.events ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/apiwarden/events', '{replica}')
PARTITION BY toYYYYMMDD(record_time)
PRIMARY KEY (toStartOfHour(record_time), client_ip, `timestamp`)
ORDER BY (toStartOfHour(record_time), client_ip, `timestamp`, topic, partition, offset)
TTL toDateTime(record_time) + toIntervalSecond(2592000)
SETTINGS ttl_only_drop_parts = 1;

-- 0002_verdicts.sql
-- One row per verdict_id under FINAL: delivery is at least once, and what precedes
-- verdict_id in the sort key is part of what verdict_id is a hash of. record_time is
-- null where no single record led to the verdict; its partition then goes by the
-- event time, and its end by the time at which it was detected.

CREATE TABLE IF NOT EXISTS apiwarden.verdicts ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/apiwarden/verdicts', '{replica}')
PARTITION BY toYYYYMM(ifNull(record_time, event_time))
PRIMARY KEY (toStartOfHour(event_time), subject, event_time)
ORDER BY (toStartOfHour(event_time), subject, event_time, verdict_id)
TTL toDateTime(ifNull(record_time, detected_at)) + toIntervalSecond(15552000)
SETTINGS ttl_only_drop_parts = 1;

-- 0003_views.sql
-- What people ask first. The views look at the time of the Kafka records, so that an
-- old log which is replayed now shows up too.

CREATE OR REPLACE VIEW apiwarden.top_offenders ON CLUSTER 'main' AS
SELECT
    scope,
    subject,
    count() AS verdicts,
    countIf(action_taken = 'ban') AS bans,
    countIf(action_taken = 'throttle') AS throttles,
    arraySort(groupUniqArray(toString(rule_id))) AS rule_ids,
    min(event_time) AS first_time,
    max(event_time) AS last_time,
    argMax(details, (event_time, verdict_id)) AS last_details
FROM apiwarden.verdicts FINAL
WHERE ifNull(record_time, detected_at) >= now64(6) - toIntervalHour(24)
GROUP BY scope, subject
ORDER BY bans DESC, throttles DESC, verdicts DESC, subject ASC;

CREATE OR REPLACE VIEW apiwarden.endpoint_health ON CLUSTER 'main' AS
SELECT
    endpoint,
    count() AS requests,
    uniq(subject) AS subjects,
    countIf(status >= 400 AND status < 500) / count() AS client_error_ratio,
    countIf(status >= 500) / count() AS server_error_ratio,
    countIf(blocked) / count() AS blocked_ratio,
    quantileIf(0.5)(assumeNotNull(latency_ms), isNotNull(latency_ms)) AS latency_p50_ms,
    quantileIf(0.95)(assumeNotNull(latency_ms), isNotNull(latency_ms)) AS latency_p95_ms,
    quantileIf(0.99)(assumeNotNull(latency_ms), isNotNull(latency_ms)) AS latency_p99_ms,
    max(`timestamp`) AS last_time
FROM apiwarden.events FINAL
WHERE record_time >= now64(6) - toIntervalHour(1)
GROUP BY endpoint
ORDER BY requests DESC, endpoint ASC;

-- One row per banned or throttled subject, as the verdicts say. What people banned or
-- unbanned by hand is on the ban topic, which has the last word.
CREATE OR REPLACE VIEW apiwarden.active_bans ON CLUSTER 'main' AS
SELECT
    v.scope AS scope,
    v.subject AS subject,
    if(countIf(v.action_taken = 'ban') > 0, 'ban', 'throttle') AS action,
    arraySort(groupUniqArray(toString(v.rule_id))) AS rule_ids,
    min(v.event_time) AS since,
    max(assumeNotNull(v.expires_at)) AS expires_at,
    argMax(v.retry_after_s, (v.event_time, v.verdict_id)) AS retry_after_s,
    argMax(v.message, (v.event_time, v.verdict_id)) AS message,
    argMax(v.details, (v.event_time, v.verdict_id)) AS details
FROM apiwarden.verdicts AS v FINAL
WHERE v.action_taken IN ('ban', 'throttle') AND v.expires_at >= now64(6)
GROUP BY v.scope, v.subject
ORDER BY since DESC, subject ASC;

-- 0004_controls.sql
-- The audit of manual changes: one row per record of the control topic. The identity
-- of a row is where its record stands in Kafka; what precedes it in the sort key
-- follows from the record alone.

CREATE TABLE IF NOT EXISTS apiwarden.controls ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/apiwarden/controls', '{replica}')
PARTITION BY toYYYYMM(record_time)
PRIMARY KEY (scope, value, record_time)
ORDER BY (scope, value, record_time, topic, partition, offset)
TTL toDateTime(record_time) + toIntervalSecond(15552000)
SETTINGS ttl_only_drop_parts = 1;

-- 0005_episodes.sql
-- Verdicts of learned rules belong to an episode: one opens it, others remind of it, one
-- closes it. Both columns are empty in the verdicts of other rules.

ALTER TABLE apiwarden.verdicts ON CLUSTER 'main'
    ADD COLUMN IF NOT EXISTS `episode_id` String COMMENT 'what verdicts of one episode of a learned rule have in common' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `phase` LowCardinality(String) COMMENT 'open, remind or close';
