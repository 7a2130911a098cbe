package sink

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
)

// storedInstants are the columns of verdicts that are read as numbers: of µs.
var storedInstants = []string{"event_time", "record_time", "detected_at", "expires_at"}

// ReadVerdicts gives each the verdicts that ClickHouse holds under FINAL whose record
// times lie from one instant up to another, without that one; zero is no bound. They come
// in no order. v is valid until each returns; an error of each ends reading. Nothing is
// written or made. It waits for ClickHouse no longer than its client does: an error says
// what was refused.
func ReadVerdicts(ctx context.Context, c ClickHouseConfig, log *zap.Logger, from, to schemas.Micros, each func(v *schemas.Verdict) error) error {
	opts, err := c.Opts()
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return &PermanentError{Doing: "setting up the clickhouse client", Err: err}
	}
	defer func() {
		if err := conn.Close(); err != nil {
			log.Debug("closing the connection to clickhouse", zap.Error(err))
		}
	}()
	doing := fmt.Sprintf("reading %s.%s from clickhouse at %s", c.Database, schemas.VerdictsTable, strings.Join(c.Addresses, ","))
	rows, err := conn.Query(ctx, verdictQuery(c.Database, from, to))
	if err != nil {
		return readingFailed(doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		var v schemas.Verdict
		if err := scanVerdict(rows, &v); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		if err := each(&v); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return readingFailed(doing, err)
	}
	return nil
}

// readingFailed adds what somebody can do where asking again is pointless.
func readingFailed(doing string, err error) error {
	if r := judge(err); r.kind == misfit {
		return &PermanentError{Doing: doing, Err: err, Do: r.do}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// verdictQuery asks for the columns in the order of scanVerdict.
func verdictQuery(database string, from, to schemas.Micros) string {
	var b strings.Builder
	b.WriteString(`SELECT verdict_id, rule_id, rule_version, rule_type,
 tupleElement(trigger, 'topic'), tupleElement(trigger, 'partition'), tupleElement(trigger, 'offset'),
 scope, subject, endpoint, action, action_taken, count, threshold, window_s, score, baseline, details`)
	for _, column := range storedInstants {
		fmt.Fprintf(&b, ", toUnixTimestamp64Micro(v.%s)", column)
	}
	b.WriteString(`, retry_after_s, message, tags,
 toUnixTimestamp64Micro(tupleElement(evidence, 'from_time')), toUnixTimestamp64Micro(tupleElement(evidence, 'to_time')),
 tupleElement(evidence, 'trigger_event'), episode_id, phase`)
	fmt.Fprintf(&b, " FROM %s.%s AS v FINAL WHERE 1", database, schemas.VerdictsTable)
	if from != 0 {
		fmt.Fprintf(&b, " AND ifNull(v.record_time, v.event_time) >= fromUnixTimestamp64Micro(toInt64(%d))", from)
	}
	if to != 0 {
		fmt.Fprintf(&b, " AND ifNull(v.record_time, v.event_time) < fromUnixTimestamp64Micro(toInt64(%d))", to)
	}
	return b.String()
}

func scanVerdict(rows driver.Rows, v *schemas.Verdict) error {
	var (
		topic                             *string
		partition                         *int32
		offset, record, expires           *int64
		scope, action, phase              string
		event, detected, fromTime, toTime int64
	)
	err := rows.Scan(&v.VerdictID, &v.RuleID, &v.RuleVersion, &v.RuleType, &topic, &partition, &offset,
		&scope, &v.Subject, &v.Endpoint, &action, &v.ActionTaken, &v.Count, &v.Threshold, &v.WindowS, &v.Score, &v.Baseline, &v.Details,
		&event, &record, &detected, &expires, &v.RetryAfterS, &v.Message, &v.Tags, &fromTime, &toTime, &v.Evidence.Trigger, &v.EpisodeID, &phase)
	if err != nil {
		return fmt.Errorf("reading a row: %w", err)
	}
	v.Scope, v.Action, v.Phase = schemas.Scope(scope), schemas.Action(action), schemas.Phase(phase)
	if topic != nil && partition != nil && offset != nil {
		v.Trigger = &schemas.Position{Topic: *topic, Partition: *partition, Offset: *offset}
	}
	v.EventTime, v.DetectedAt = schemas.Micros(event), schemas.Micros(detected)
	v.RecordTime, v.ExpiresAt = (*schemas.Micros)(record), (*schemas.Micros)(expires)
	v.Evidence.FromTime, v.Evidence.ToTime = schemas.Micros(fromTime), schemas.Micros(toTime)
	return nil
}

// AsStored makes of a verdict what ClickHouse keeps of it: times that no column holds
// become the nearest ones that one does.
func AsStored(v schemas.Verdict) schemas.Verdict {
	clamp := func(m schemas.Micros) schemas.Micros { return schemas.Micros(clampTime(int64(m))) }
	optional := func(m *schemas.Micros) *schemas.Micros {
		if m == nil {
			return nil
		}
		c := clamp(*m)
		return &c
	}
	v.EventTime, v.RecordTime, v.DetectedAt, v.ExpiresAt = clamp(v.EventTime), optional(v.RecordTime), clamp(v.DetectedAt), optional(v.ExpiresAt)
	v.Evidence.FromTime, v.Evidence.ToTime = clamp(v.Evidence.FromTime), clamp(v.Evidence.ToTime)
	return v
}
