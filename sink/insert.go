package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/apiwarden/apiwarden/schemas"
)

// maxInsertRows bounds one insert: more only costs memory on both sides.
const maxInsertRows = 100_000

// InsertEvents stores the rows of b and returns once they are durable. It tries
// again for ever what time or a person can put right (see persist), so the caller's
// ctx is what ends it: at shutdown one with a deadline of its own. A row that was
// stored by an attempt whose answer was lost is one row under FINAL.
//
// The error is nil; BadRows, where all other rows are stored; or ctx's, and then any
// part of the rows may be stored: insert the same batch again.
func (ch *ClickHouse) InsertEvents(ctx context.Context, b *EventBatch) error {
	in := insert{table: ch.events, settings: insertSettings(), fill: b.appendTo}
	return ch.insertRows(ctx, in, b.Len(), func(row int) int { return day(b.recordTimes[row]) })
}

// InsertVerdicts stores verdicts as InsertEvents does events.
func (ch *ClickHouse) InsertVerdicts(ctx context.Context, verdicts []schemas.Verdict) error {
	in := insert{table: ch.verdicts, settings: insertSettings(), fill: func(batch driver.Batch, rows []int) error {
		return appendVerdicts(batch, verdicts, rows)
	}}
	return ch.insertRows(ctx, in, len(verdicts), func(row int) int { return verdictMonth(&verdicts[row]) })
}

// InsertControls stores records of the control topic as InsertEvents does events.
func (ch *ClickHouse) InsertControls(ctx context.Context, records []ControlRecord) error {
	in := insert{table: ch.controls, settings: insertSettings(), fill: func(batch driver.Batch, rows []int) error {
		return appendControls(batch, records, rows)
	}}
	return ch.insertRows(ctx, in, len(records), func(row int) int { return month(int64(records[row].RecordTime)) })
}

// table is a table that rows are inserted into.
type table struct {
	name    string
	columns []clickhouse.ColumnNameAndType
}

// insert is an insert into one table: fill gives the named rows to the driver, the
// same ones whenever it is called.
type insert struct {
	table    table
	settings clickhouse.Settings
	fill     func(batch driver.Batch, rows []int) error
}

// insertSettings pins what a server's profile could have set otherwise: an answer
// must mean that the rows are durable. Text columns are sent as String, which costs
// a tenth of building dictionaries here; the server makes them.
func insertSettings() clickhouse.Settings {
	return clickhouse.Settings{
		"async_insert":                               0,
		"wait_for_async_insert":                      1,
		"insert_deduplicate":                         1,
		"optimize_on_insert":                         1,
		"low_cardinality_allow_in_native_format":     0,
		"input_format_native_allow_types_conversion": 1,
	}
}

// insertRows sorts n rows by partition of the table, keeps their order within each,
// and inserts each partition's on its own: a block over more than a hundred
// partitions would be refused for ever.
func (ch *ClickHouse) insertRows(ctx context.Context, in insert, n int, partition func(row int) int) error {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	byPartition := func(a, b int) int { return partition(a) - partition(b) }
	if !slices.IsSortedFunc(rows, byPartition) {
		slices.SortStableFunc(rows, byPartition)
	}
	var bad BadRows
	for len(rows) > 0 {
		k := 1
		for k < len(rows) && k < maxInsertRows && byPartition(rows[0], rows[k]) == 0 {
			k++
		}
		var h halving
		err := ch.persist(ctx, "storing in "+in.table.name+" of "+ch.where, func(ctx context.Context) error {
			h = halving{ch: ch, in: in}
			return h.insert(ctx, rows[:k])
		})
		if err != nil {
			return err
		}
		bad = append(bad, h.bad...)
		rows = rows[k:]
	}
	if len(bad) > 0 {
		slices.SortFunc(bad, func(a, b BadRow) int { return a.Index - b.Index })
		return bad
	}
	return nil
}

// send makes one attempt, with a batch built for it alone: after an error nothing
// is known of what a batch still holds.
func (ch *ClickHouse) send(ctx context.Context, in insert, rows []int) error {
	names := make([]string, len(in.table.columns))
	for i, c := range in.table.columns {
		names[i] = "`" + c.Name + "`"
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(in.settings), clickhouse.WithColumnNamesAndTypes(in.table.columns))
	query := fmt.Sprintf("INSERT INTO %s.%s (%s)", ch.cfg.Database, in.table.name, strings.Join(names, ", "))
	batch, err := ch.conn.PrepareBatch(ctx, query)
	if err != nil {
		return fmt.Errorf("preparing the insert: %w", err)
	}
	if err := in.fill(batch, rows); err != nil {
		return errors.Join(&buildError{err}, batch.Abort())
	}
	// The driver sends a block whose columns differ in length over HTTP as an empty
	// body, which the server takes for success.
	for _, column := range batch.Columns() {
		if column.Rows() != len(rows) {
			return errors.Join(fmt.Errorf("building the insert: column %s has %d rows of %d", column.Name(), column.Rows(), len(rows)), batch.Abort())
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("sending the insert: %w", err)
	}
	return nil
}
