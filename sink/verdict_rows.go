package sink

import (
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/apiwarden/apiwarden/schemas"
)

// verdictColumns are the columns of an insert into the verdicts table, in the order
// of verdictRow.
func verdictColumns() []clickhouse.ColumnNameAndType {
	const instant = "DateTime64(6, 'UTC')"
	return []clickhouse.ColumnNameAndType{
		{Name: "verdict_id", Type: "String"},
		{Name: "rule_id", Type: "String"},
		{Name: "rule_version", Type: "String"},
		{Name: "rule_type", Type: "String"},
		{Name: "trigger", Type: "Tuple(topic Nullable(String), partition Nullable(Int32), offset Nullable(Int64))"},
		{Name: "scope", Type: "String"},
		{Name: "subject", Type: "String"},
		{Name: "endpoint", Type: "String"},
		{Name: "action", Type: "String"},
		{Name: "action_taken", Type: "String"},
		{Name: "count", Type: "Int64"},
		{Name: "threshold", Type: "Nullable(Float64)"},
		{Name: "window_s", Type: "Float64"},
		{Name: "score", Type: "Nullable(Float64)"},
		{Name: "baseline", Type: "Nullable(Float64)"},
		{Name: "details", Type: "String"},
		{Name: "event_time", Type: instant},
		{Name: "record_time", Type: "Nullable(" + instant + ")"},
		{Name: "detected_at", Type: instant},
		{Name: "expires_at", Type: "Nullable(" + instant + ")"},
		{Name: "retry_after_s", Type: "Nullable(Int64)"},
		{Name: "message", Type: "String"},
		{Name: "tags", Type: "Array(String)"},
		{Name: "evidence", Type: "Tuple(from_time " + instant + ", to_time " + instant + ", trigger_event String)"},
		{Name: "episode_id", Type: "String"},
		{Name: "phase", Type: "String"},
	}
}

func appendVerdicts(batch driver.Batch, verdicts []schemas.Verdict, rows []int) error {
	for _, row := range rows {
		if err := batch.Append(verdictRow(&verdicts[row])...); err != nil {
			return err
		}
	}
	return nil
}

func verdictRow(v *schemas.Verdict) []any {
	trigger := []any{(*string)(nil), (*int32)(nil), (*int64)(nil)}
	if v.Trigger != nil {
		trigger = []any{&v.Trigger.Topic, &v.Trigger.Partition, &v.Trigger.Offset}
	}
	tags := v.Tags
	if tags == nil {
		tags = []string{}
	}
	return []any{
		v.VerdictID, v.RuleID, v.RuleVersion, v.RuleType, trigger, string(v.Scope), v.Subject, v.Endpoint,
		string(v.Action), v.ActionTaken, v.Count, v.Threshold, v.WindowS, v.Score, v.Baseline, v.Details,
		storedTime(int64(v.EventTime)), optionalTime(v.RecordTime), storedTime(int64(v.DetectedAt)),
		optionalTime(v.ExpiresAt), v.RetryAfterS, v.Message, tags,
		[]any{storedTime(int64(v.Evidence.FromTime)), storedTime(int64(v.Evidence.ToTime)), v.Evidence.Trigger},
		v.EpisodeID, string(v.Phase),
	}
}

func optionalTime(m *schemas.Micros) *time.Time {
	if m == nil {
		return nil
	}
	t := storedTime(int64(*m))
	return &t
}

// verdictMonth is the partition of a verdict's row.
func verdictMonth(v *schemas.Verdict) int {
	if v.RecordTime != nil {
		return month(int64(*v.RecordTime))
	}
	return month(int64(v.EventTime))
}
