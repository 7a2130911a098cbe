package sink

import (
	"context"
	"fmt"
	"strings"
)

// mostSuspects is how many rows a table may refuse without having taken one before
// others are tried, to see whether it is the table that is at fault.
const mostSuspects = 32

// halving inserts rows of one partition. Where ClickHouse rejects values, it halves
// them until the rows at fault stand alone. No row is at fault where the table takes
// none at all: else a table that somebody has changed would have every event
// dead-lettered, where it can as well wait in Kafka.
type halving struct {
	ch    *ClickHouse
	in    insert
	bad   BadRows
	taken bool // a row, or more
}

// insert gives nil where every row is stored or in bad.
func (h *halving) insert(ctx context.Context, rows []int) error {
	if err := h.some(ctx, rows, rows); err != nil {
		return err
	}
	if len(h.bad) == 0 || h.taken {
		return nil
	}
	err := h.ch.fits(ctx, h.in.table)
	if err != nil && judge(err).kind == badValues {
		return &allRefusedError{len(h.bad), err}
	}
	return err
}

// some inserts some of all rows.
func (h *halving) some(ctx context.Context, rows, all []int) error {
	err := h.ch.retry(ctx, "inserting into "+h.in.table.name+" of "+h.ch.where, func(ctx context.Context) error {
		return h.ch.send(ctx, h.in, rows)
	})
	if err == nil {
		h.taken = true
		h.ch.metrics.Rows.WithLabelValues(h.in.table.name).Add(float64(len(rows)))
		return nil
	}
	if interrupted(ctx) || judge(err).kind != badValues {
		return err
	}
	if len(rows) == 1 {
		h.bad = append(h.bad, BadRow{Index: rows[0], Err: err})
		if !h.taken && len(h.bad) == mostSuspects && !h.any(ctx, all) {
			return &allRefusedError{len(h.bad), err}
		}
		return nil
	}
	half := len(rows) / 2
	if err := h.some(ctx, rows[:half], all); err != nil {
		return err
	}
	return h.some(ctx, rows[half:], all)
}

// any reports whether the table takes any of a sample of rows. What it takes is
// inserted again later, and is one row all the same.
func (h *halving) any(ctx context.Context, rows []int) bool {
	step := max(1, len(rows)/mostSuspects)
	for i := len(rows) - 1; i >= 0 && !h.taken; i -= step {
		attempt, cancel := context.WithTimeout(ctx, insertTimeout)
		h.taken = h.ch.send(attempt, h.in, rows[i:i+1]) == nil
		cancel()
	}
	return h.taken
}

// fits gives the error of an insert without rows, which tells whether a table has our
// columns, of types that our values can be made to.
func (ch *ClickHouse) fits(ctx context.Context, t table) error {
	names, values := make([]string, len(t.columns)), make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = "`" + c.Name + "`"
		values[i] = fmt.Sprintf("defaultValueOfTypeName('%s')", strings.ReplaceAll(c.Type, "'", "\\'"))
	}
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	return ch.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s.%s (%s) SELECT %s LIMIT 0", ch.cfg.Database, t.name, strings.Join(names, ", "), strings.Join(values, ", ")))
}
