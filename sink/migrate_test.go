package sink

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zaptest"

	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/schemas"
)

// schemaOf gives what the database looks like: every table and view as its CREATE.
func schemaOf(t *testing.T, c ClickHouseConfig) string {
	t.Helper()
	text := countOf(t, c, "SELECT name, create_table_query FROM system.tables WHERE database = 'DB' ORDER BY name")
	return strings.ReplaceAll(text, c.Database, "DB")
}

func closedTest(t *testing.T, c ClickHouseConfig) *ClickHouse {
	t.Helper()
	ch, err := newClickHouse(c, zaptest.NewLogger(t), NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ch.Close() })
	return ch
}

func TestMigrateFromEachState(t *testing.T) {
	fresh := testConfig(t)
	openTest(t, fresh)
	want := schemaOf(t, fresh)
	if n := strings.Count(want, "\n") + 1; n != 7 {
		t.Fatalf("%d tables and views, want events, verdicts, controls, three views and the versions:\n%s", n, want)
	}
	for version := int64(1); version <= 5; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			c := testConfig(t)
			ch := closedTest(t, c)
			if err := ch.migrateTo(testContext(t), version); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := ch.Migrate(testContext(t)); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, schemaOf(t, c)); diff != "" {
				t.Errorf("schema differs from that of a fresh database:\n%s", diff)
			}
		})
	}
}

// TestEveryStatementTwice runs all migrations again over a finished database, as a
// process does that read the versions before another one had written them.
func TestEveryStatementTwice(t *testing.T) {
	c := testConfig(t)
	ch := openTest(t, c)
	before := schemaOf(t, c)
	b := manyEvents(ch, 10, func(int) int64 { return time.Now().UnixMicro() })
	if err := ch.InsertEvents(testContext(t), b); err != nil {
		t.Fatal(err)
	}
	dev.Query(t, c.Addresses[0], "TRUNCATE TABLE "+c.Database+".schema_versions")
	if err := ch.Migrate(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, schemaOf(t, c)); diff != "" {
		t.Errorf("schema changed:\n%s", diff)
	}
	if got := countOf(t, c, "SELECT count() FROM DB.events FINAL"); got != "10" {
		t.Errorf("%s rows, want the 10 from before", got)
	}
}

func TestMigrateTogether(t *testing.T) {
	c := testConfig(t)
	var all sync.WaitGroup
	for range 4 {
		ch := closedTest(t, c)
		all.Go(func() {
			if err := ch.prepare(testContext(t)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := countOf(t, c, "SELECT arraySort(groupUniqArray(version)) FROM DB.schema_versions"); got != "[0,1,2,3,4,5]" {
		t.Errorf("versions %s, want 0 to 5", got)
	}
}

func TestNewerDatabaseIsLeftAlone(t *testing.T) {
	c := testConfig(t)
	ch := openTest(t, c)
	dev.Query(t, c.Addresses[0], "INSERT INTO "+c.Database+".schema_versions (version) VALUES (9999)")
	if err := ch.Migrate(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func TestTTLFollowsTheConfiguration(t *testing.T) {
	c := testConfig(t)
	ttls := func() string {
		return countOf(t, c, "SELECT arrayStringConcat(groupArray(extract(engine_full, 'toIntervalSecond\\\\((\\\\d+)\\\\)')), ',') FROM (SELECT engine_full FROM system.tables WHERE database = 'DB' AND name IN ('events', 'verdicts') ORDER BY name)")
	}
	const day = schemas.Duration(24 * time.Hour)
	for _, step := range []struct {
		events, verdicts schemas.Duration
		want             string
	}{
		{30 * day, 180 * day, "2592000,15552000"},
		{7 * day, 180 * day, "604800,15552000"},
		{0, 0, ","},
		{0, 0, ","},
		{day, 2 * day, "86400,172800"},
	} {
		c.TTL = TTLConfig{Events: step.events, Verdicts: step.verdicts}
		openTest(t, c)
		if got := ttls(); got != step.want {
			t.Errorf("with %v and %v the tables have %q, want %q", step.events, step.verdicts, got, step.want)
		}
	}
}

func TestRedactionKeys(t *testing.T) {
	c := testConfig(t)
	c.Redact = []string{"hash:user_id"}
	keys := make([]string, 3)
	var all sync.WaitGroup
	for i := range keys {
		ch := closedTest(t, c)
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			defer cancel()
			if err := ch.prepare(ctx); err != nil {
				t.Error(err)
			}
			keys[i] = string(ch.key)
		})
	}
	all.Wait()
	if len(keys[0]) != 32 || keys[0] != keys[1] || keys[1] != keys[2] {
		t.Errorf("processes that start together have keys %x", keys)
	}
}
