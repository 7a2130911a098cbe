package sink

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

// awaitRefusals waits until ClickHouse has refused for a cause, and more than once.
func awaitRefusals(t *testing.T, ch *ClickHouse, cause string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); testutil.ToFloat64(ch.metrics.Refusals.WithLabelValues(cause)) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			_, why := ch.metrics.Waiting.Longest()
			t.Fatalf("nothing is refused because of %s; what it waits for: %q", cause, why)
		}
	}
}

// TestServerIsPutRight: whatever is wrong at the server, rows wait until it is put
// right, and are then there once.
func TestServerIsPutRight(t *testing.T) {
	for name, tc := range map[string]struct {
		rows         int
		damage, cure []string
		cause, want  string
	}{
		"disk is full": {
			rows:   10,
			damage: []string{"ALTER TABLE DB.events MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000"},
			cure:   []string{"ALTER TABLE DB.events RESET SETTING min_free_disk_bytes_to_perform_insert"},
			cause:  causeDisk, want: "make room",
		},
		"column is gone": {
			rows:   10,
			damage: []string{"ALTER TABLE DB.events DROP COLUMN referer"},
			cure:   []string{"ALTER TABLE DB.events ADD COLUMN referer String"},
			cause:  causeSchema, want: "--print-schema",
		},
		"column is of another type": {
			rows:   10,
			damage: []string{"ALTER TABLE DB.events DROP COLUMN latency_ms", "ALTER TABLE DB.events ADD COLUMN latency_ms Array(String)"},
			cure:   []string{"ALTER TABLE DB.events DROP COLUMN latency_ms", "ALTER TABLE DB.events ADD COLUMN latency_ms Nullable(Float64)"},
			cause:  causeSchema, want: "--print-schema",
		},
		"every row is refused": {
			rows:   2000,
			damage: []string{"ALTER TABLE DB.events ADD CONSTRAINT none CHECK status = 0"},
			cure:   []string{"ALTER TABLE DB.events DROP CONSTRAINT none"},
			cause:  causeSchema, want: "constraint",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t)
			ch := openTest(t, c)
			run := func(statements []string) {
				for _, s := range statements {
					dev.Query(t, c.Addresses[0], strings.ReplaceAll(s, "DB", c.Database))
				}
			}
			run(tc.damage)
			done := make(chan error, 1)
			b := manyEvents(ch, tc.rows, func(int) int64 { return time.Now().UnixMicro() })
			ctx := testContext(t)
			go func() { done <- ch.InsertEvents(ctx, b) }()
			awaitRefusals(t, ch, tc.cause)
			if d, why := ch.metrics.Waiting.Longest(); d == 0 || !strings.Contains(why, tc.want) {
				t.Errorf("waits %v for %q, want a reason that says %q", d, why, tc.want)
			}
			run(tc.cure)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if d, why := ch.metrics.Waiting.Longest(); d != 0 {
				t.Errorf("still waits for %q", why)
			}
			wantRows(t, c, tc.rows)
		})
	}
}

func wantRows(t *testing.T, c ClickHouseConfig, n int) {
	t.Helper()
	got := rowsAs(t, c, "SELECT count() AS rows, uniqExact(partition, offset) AS records FROM DB.events FINAL SETTINGS output_format_json_quote_64bit_integers = 0")
	if diff := cmp.Diff([]map[string]any{{"rows": float64(n), "records": float64(n)}}, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestRefusedCodes: codes that the engine cannot be brought to give, or not without
// users of its own.
func TestRefusedCodes(t *testing.T) {
	for cause, code := range map[string]int32{causeReadOnly: 164, causeRights: 497, causeDisk: 243, causeConfiguration: 516, causeBusy: 202} {
		t.Run(cause, func(t *testing.T) {
			c := testConfig(t)
			direct := c
			way := dev.NewRefuser(t, c.Addresses[0])
			c.Addresses = []string{way.Addr}
			ch := openTest(t, c)
			way.Refuse(code)
			done := make(chan error, 1)
			b := manyEvents(ch, 10, func(int) int64 { return time.Now().UnixMicro() })
			ctx := testContext(t)
			go func() { done <- ch.InsertEvents(ctx, b) }()
			awaitRefusals(t, ch, cause)
			way.Refuse(0)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			wantRows(t, direct, 10)
		})
	}
}

// TestTablesAreMadeAgain where somebody has dropped them, while rows are inserted and
// at a start.
func TestTablesAreMadeAgain(t *testing.T) {
	for name, damage := range map[string]string{"a table": "DROP TABLE DB.events SYNC", "the database": "DROP DATABASE DB SYNC"} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t)
			ch := openTest(t, c)
			want := schemaOf(t, c)
			for _, during := range []func() *ClickHouse{func() *ClickHouse { return ch }, func() *ClickHouse { return openTest(t, c) }} {
				countOf(t, c, damage)
				if err := during().InsertEvents(testContext(t), manyEvents(ch, 10, func(int) int64 { return time.Now().UnixMicro() })); err != nil {
					t.Fatal(err)
				}
				wantRows(t, c, 10)
				if diff := cmp.Diff(want, schemaOf(t, c)); diff != "" {
					t.Errorf("schema differs from that of a fresh database:\n%s", diff)
				}
			}
		})
	}
}

// TestManyBadRows: those of one sender follow each other, and their neighbours are
// stored all the same. Where a few rows are all there is, they are at fault.
func TestManyBadRows(t *testing.T) {
	for name, tc := range map[string]struct {
		constraint string
		rows, bad  int
	}{
		"first of a batch":  {"offset >= 100", 3000, 100},
		"middle of a batch": {"offset NOT BETWEEN 1000 AND 1099", 3000, 100},
		"all there is":      {"offset > 5", 5, 5},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t)
			ch := openTest(t, c)
			countOf(t, c, "ALTER TABLE DB.events ADD CONSTRAINT some CHECK "+tc.constraint)
			err := ch.InsertEvents(testContext(t), manyEvents(ch, tc.rows, func(int) int64 { return time.Now().UnixMicro() }))
			bad, ok := errors.AsType[BadRows](err)
			if !ok || len(bad) != tc.bad {
				t.Fatalf("error %v, want %d bad rows", err, tc.bad)
			}
			wantRows(t, c, tc.rows-tc.bad)
		})
	}
}

// TestStartWhileServerRefuses waits with a reason instead of giving up.
func TestStartWhileServerRefuses(t *testing.T) {
	c := testConfig(t)
	direct := c
	way := dev.NewRefuser(t, c.Addresses[0])
	c.Addresses = []string{way.Addr}
	way.RefuseAll(164)
	ch := closedTest(t, c)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- ch.prepare(ctx) }()
	awaitRefusals(t, ch, causeReadOnly)
	way.RefuseAll(0)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantRows(t, direct, 0)
}
