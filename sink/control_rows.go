package sink

import (
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/apiwarden/apiwarden/schemas"
)

// controlColumns are the columns of an insert into the controls table, in the order of
// controlRow.
func controlColumns() []clickhouse.ColumnNameAndType {
	const instant = "DateTime64(6, 'UTC')"
	return []clickhouse.ColumnNameAndType{
		{Name: "scope", Type: "String"},
		{Name: "value", Type: "String"},
		{Name: "op", Type: "String"},
		{Name: "for_s", Type: "Nullable(Float64)"},
		{Name: "reason", Type: "String"},
		{Name: "by", Type: "String"},
		{Name: "at", Type: instant},
		{Name: "expires_at", Type: "Nullable(" + instant + ")"},
		{Name: "record_time", Type: instant},
		{Name: "topic", Type: "String"},
		{Name: "partition", Type: "Int32"},
		{Name: "offset", Type: "Int64"},
	}
}

func appendControls(batch driver.Batch, records []ControlRecord, rows []int) error {
	for _, row := range rows {
		if err := batch.Append(controlRow(&records[row])...); err != nil {
			return err
		}
	}
	return nil
}

func controlRow(r *ControlRecord) []any {
	var lasts *float64
	if r.For > 0 {
		s := time.Duration(r.For).Seconds()
		lasts = &s
	}
	var until *schemas.Micros
	if u := r.Until(); u != 0 {
		until = &u
	}
	return []any{
		string(r.Scope), r.Value, string(r.Op), lasts, r.Reason, r.By, storedTime(int64(r.At)), optionalTime(until),
		storedTime(int64(r.RecordTime)), r.Position.Topic, r.Position.Partition, r.Position.Offset,
	}
}
