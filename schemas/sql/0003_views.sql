-- What people ask first. The views look at the time of the Kafka records, so that an
-- old log which is replayed now shows up too.

-- +goose NO TRANSACTION
-- +goose Up
-- +goose StatementBegin
CREATE OR REPLACE VIEW {{.Database}}.top_offenders{{.OnCluster}} AS
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
FROM {{.Database}}.verdicts FINAL
WHERE ifNull(record_time, detected_at) >= now64(6) - toIntervalHour(24)
GROUP BY scope, subject
ORDER BY bans DESC, throttles DESC, verdicts DESC, subject ASC;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE VIEW {{.Database}}.endpoint_health{{.OnCluster}} AS
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
FROM {{.Database}}.events FINAL
WHERE record_time >= now64(6) - toIntervalHour(1)
GROUP BY endpoint
ORDER BY requests DESC, endpoint ASC;
-- +goose StatementEnd

-- One row per banned or throttled subject, as the verdicts say. What people banned or
-- unbanned by hand is on the ban topic, which has the last word.
-- +goose StatementBegin
CREATE OR REPLACE VIEW {{.Database}}.active_bans{{.OnCluster}} AS
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
FROM {{.Database}}.verdicts AS v FINAL
WHERE v.action_taken IN ('ban', 'throttle') AND v.expires_at >= now64(6)
GROUP BY v.scope, v.subject
ORDER BY since DESC, subject ASC;
-- +goose StatementEnd
