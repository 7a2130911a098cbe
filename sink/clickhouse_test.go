package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap/zaptest"

	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/schemas"
)

// testConfig is a configuration for a database of this test's own on the real engine.
func testConfig(t *testing.T) ClickHouseConfig {
	t.Helper()
	addr := dev.ClickHouse(t)
	c := DefaultClickHouseConfig()
	c.Addresses, c.Protocol, c.Database = []string{addr}, ProtocolHTTP, dev.Database(t, addr)
	c.Redact = nil
	return c
}

func openTest(t *testing.T, c ClickHouseConfig) *ClickHouse {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	ch, err := OpenClickHouse(ctx, c, zaptest.NewLogger(t), NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ch.Close() })
	return ch
}

// testContext ends what would be tried again for ever.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// rowsAs gives the answer of a query as one JSON object a row.
func rowsAs(t *testing.T, c ClickHouseConfig, query string) []map[string]any {
	t.Helper()
	text := dev.Query(t, c.Addresses[0], strings.ReplaceAll(query, "DB", c.Database)+" FORMAT JSONEachRow")
	var rows []map[string]any
	for line := range strings.Lines(text) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("reading %q: %v", line, err)
		}
		rows = append(rows, row)
	}
	return rows
}

func countOf(t *testing.T, c ClickHouseConfig, query string) string {
	t.Helper()
	return dev.Query(t, c.Addresses[0], strings.ReplaceAll(query, "DB", c.Database))
}

func fullEvent() schemas.Event {
	return schemas.Event{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC).UnixMicro(), HasTime: true,
		ClientIP: netip.MustParseAddr("192.0.2.7"), PeerIP: netip.MustParseAddr("2001:db8::1"),
		Status: 404, Blocked: true,
		Method: []byte("GET"), Path: []byte("/käse/\x00\n\n\t'\"\\/🦊"), Query: []byte("a=1&b=%00"), Route: []byte("/{x}"),
		EventID: []byte("e-1"), Service: []byte("shop"), Host: []byte("shop.example"), UserAgent: []byte("curl/8"),
		UserID: []byte("u1"), APIKeyID: []byte("k1"), Referer: []byte("https://example.org/"), XForwardedFor: []byte("192.0.2.7, 10.0.0.1"),
		LatencyMS: []byte("12.5"), RequestBytes: []byte("2570"), ResponseBytes: []byte("9223372036854775807"),
		ResponseBody: []byte("you win\n\n"), ResponseFields: []byte(`{"outcome":"victory"}`),
		Extra: []schemas.Member{
			{Key: []byte("region"), Value: []byte(`"eu"`)},
			{Key: []byte("n\n"), Value: []byte(`1`)},
			{Key: []byte("region"), Value: []byte(`["us"]`)},
		},
	}
}

func TestEventsRoundTrip(t *testing.T) {
	c := testConfig(t)
	ch := openTest(t, c)
	b := ch.NewEventBatch()
	now := time.Now().UnixMicro()
	full := fullEvent()
	b.Add(&full, schemas.Position{Topic: "api-logs", Partition: 3, Offset: math.MaxInt64}, now, []byte("192.0.2.7"), []byte("GET /{x}"))
	bare := schemas.Event{ClientIP: netip.MustParseAddr("2001:db8::2"), Method: []byte("POST"), Path: []byte("/"), Status: 599}
	b.Add(&bare, schemas.Position{Topic: "api-logs", Partition: math.MaxInt32, Offset: 0}, now, []byte("2001:db8::/64"), []byte("POST /"))
	odd := schemas.Event{
		ClientIP: netip.MustParseAddr("::"), Method: []byte("X"), Path: []byte("*"), Status: 100,
		HasTime: true, Time: math.MinInt64, LatencyMS: []byte("-1e-300"), RequestBytes: []byte("1.5"), ResponseBytes: []byte("-1"),
		ResponseBody: []byte{}, UserAgent: []byte(strings.Repeat("ü", 100_000)),
	}
	b.Add(&odd, schemas.Position{Topic: "t", Partition: 0, Offset: 1}, now, []byte("::"), []byte("X *"))
	if err := ch.InsertEvents(testContext(t), b); err != nil {
		t.Fatal(err)
	}
	got := rowsAs(t, c, "SELECT * FROM DB.events FINAL ORDER BY status DESC SETTINGS output_format_json_quote_64bit_integers = 1")
	stamp := time.UnixMicro(now).UTC().Format("2006-01-02 15:04:05.000000")
	empty := func(over map[string]any) map[string]any {
		row := map[string]any{
			"query": "", "route": "", "service": "", "host": "", "latency_ms": nil, "request_bytes": nil, "response_bytes": nil,
			"user_agent": "", "user_id": "", "api_key_id": "", "referer": "", "peer_ip": "", "x_forwarded_for": "",
			"response_body": "", "response_fields": "", "blocked": false, "event_id": "", "extra": "",
			"record_time": stamp, "timestamp": stamp,
		}
		for k, v := range over {
			row[k] = v
		}
		return row
	}
	want := []map[string]any{
		empty(map[string]any{
			"client_ip": "2001:db8::2", "method": "POST", "path": "/", "status": 599.0, "subject": "2001:db8::/64", "endpoint": "POST /",
			"topic": "api-logs", "partition": float64(math.MaxInt32), "offset": "0",
		}),
		{
			"timestamp": "2026-01-02 03:04:05.678901", "client_ip": "192.0.2.7", "method": "GET", "path": "/käse/\x00\n\n\t'\"\\/🦊",
			"query": "a=1&b=%00", "status": 404.0, "route": "/{x}", "service": "shop", "host": "shop.example", "latency_ms": 12.5,
			"request_bytes": "2570", "response_bytes": "9223372036854775807", "user_agent": "curl/8", "user_id": "u1", "api_key_id": "k1",
			"referer": "https://example.org/", "peer_ip": "2001:db8::1", "x_forwarded_for": "192.0.2.7, 10.0.0.1",
			"response_body": "you win\n\n", "response_fields": `{"outcome":"victory"}`, "blocked": true, "event_id": "e-1",
			"extra": `{"n\n":1,"region":["us"]}`, "subject": "192.0.2.7", "endpoint": "GET /{x}",
			"topic": "api-logs", "partition": 3.0, "offset": "9223372036854775807", "record_time": stamp,
		},
		empty(map[string]any{
			"timestamp": "1900-01-01 00:00:00.000000", "client_ip": "::", "method": "X", "path": "*", "status": 100.0,
			"latency_ms": -1e-300, "response_bytes": "-1", "user_agent": strings.Repeat("ü", 100_000), "subject": "::", "endpoint": "X *",
			"topic": "t", "partition": 0.0, "offset": "1",
		}),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
	if n := testutil.ToFloat64(ch.metrics.Rows.WithLabelValues("events")); n != 3 {
		t.Errorf("rows metric = %v, want 3", n)
	}
}

func ptr[T any](v T) *T { return &v }

func fullVerdict(id string) schemas.Verdict {
	at := schemas.Micros(time.Now().UnixMicro())
	return schemas.Verdict{
		VerdictID: id, RuleID: "lottery-wins", RuleVersion: "v1", RuleType: "return_pattern",
		Trigger: &schemas.Position{Topic: "api-logs", Partition: 2, Offset: 77}, Scope: schemas.ScopeIP, Subject: "192.0.2.7",
		Endpoint: "POST /api/lottery", Action: schemas.ActionBan, ActionTaken: "ban", Count: 3, Threshold: ptr(2.0), WindowS: 86400,
		Score: ptr(0.5), Baseline: ptr(0.1), Details: "3 wins\n\nin a day", EventTime: at, RecordTime: ptr(at + 1), DetectedAt: at + 2,
		ExpiresAt: ptr(at + 3_600_000_000), RetryAfterS: ptr(int64(60)), Message: "Too many wins.", Tags: []string{"gaming", "ü"},
		Evidence: schemas.Evidence{FromTime: at - 10, ToTime: at, Trigger: "POST /api/lottery → 200"},
	}
}

func TestVerdictsRoundTrip(t *testing.T) {
	c := testConfig(t)
	ch := openTest(t, c)
	full := fullVerdict("a")
	bare := schemas.Verdict{VerdictID: "b", RuleID: "slow", Scope: schemas.ScopeEndpoint, Subject: "GET /", EventTime: full.EventTime, DetectedAt: full.DetectedAt,
		EpisodeID: "e1", Phase: schemas.PhaseOpen}
	if err := ch.InsertVerdicts(testContext(t), []schemas.Verdict{full, bare}); err != nil {
		t.Fatal(err)
	}
	got := rowsAs(t, c, "SELECT * FROM DB.verdicts FINAL ORDER BY verdict_id SETTINGS output_format_json_quote_64bit_integers = 0")
	text := func(m schemas.Micros) string { return m.Time().Format("2006-01-02 15:04:05.000000") }
	epoch := "1970-01-01 00:00:00.000000"
	want := []map[string]any{
		{
			"verdict_id": "a", "rule_id": "lottery-wins", "rule_version": "v1", "rule_type": "return_pattern",
			"trigger": map[string]any{"topic": "api-logs", "partition": 2.0, "offset": 77.0}, "scope": "ip", "subject": "192.0.2.7",
			"endpoint": "POST /api/lottery", "action": "ban", "action_taken": "ban", "count": 3.0, "threshold": 2.0, "window_s": 86400.0,
			"score": 0.5, "baseline": 0.1, "details": "3 wins\n\nin a day", "event_time": text(full.EventTime), "record_time": text(*full.RecordTime),
			"detected_at": text(full.DetectedAt), "expires_at": text(*full.ExpiresAt), "retry_after_s": 60.0, "message": "Too many wins.",
			"tags":       []any{"gaming", "ü"},
			"evidence":   map[string]any{"from_time": text(full.Evidence.FromTime), "to_time": text(full.Evidence.ToTime), "trigger_event": "POST /api/lottery → 200"},
			"episode_id": "", "phase": "",
		},
		{
			"verdict_id": "b", "rule_id": "slow", "rule_version": "", "rule_type": "",
			"trigger": map[string]any{"topic": nil, "partition": nil, "offset": nil}, "scope": "endpoint", "subject": "GET /",
			"endpoint": "", "action": "", "action_taken": "", "count": 0.0, "threshold": nil, "window_s": 0.0,
			"score": nil, "baseline": nil, "details": "", "event_time": text(full.EventTime), "record_time": nil,
			"detected_at": text(full.DetectedAt), "expires_at": nil, "retry_after_s": nil, "message": "", "tags": []any{},
			"evidence":   map[string]any{"from_time": epoch, "to_time": epoch, "trigger_event": ""},
			"episode_id": "e1", "phase": "open",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
	if got := countOf(t, c, "SELECT count() FROM DB.active_bans WHERE subject = '192.0.2.7' AND action = 'ban' AND rule_ids = ['lottery-wins']"); got != "1" {
		t.Errorf("active_bans has %s rows of the subject, want 1", got)
	}
	if got := countOf(t, c, "SELECT bans FROM DB.top_offenders WHERE subject = '192.0.2.7'"); got != "1" {
		t.Errorf("top_offenders gives %s bans, want 1", got)
	}
}

// manyEvents fills a batch with n events a second apart.
func manyEvents(ch *ClickHouse, n int, recordTime func(i int) int64) *EventBatch {
	b := ch.NewEventBatch()
	for i := range n {
		ev := schemas.Event{
			ClientIP: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), Method: []byte("GET"),
			Path: fmt.Appendf(nil, "/api/%d", i%100), Status: 200, LatencyMS: []byte("1.5"), UserAgent: []byte("test"),
		}
		b.Add(&ev, schemas.Position{Topic: "api-logs", Partition: int32(i % 4), Offset: int64(i)}, recordTime(i), ev.ClientIP.AppendTo(nil), []byte("GET /api/{id}"))
	}
	return b
}

func TestSameBatchTwice(t *testing.T) {
	c := testConfig(t)
	ch := openTest(t, c)
	now := time.Now().UnixMicro()
	b := manyEvents(ch, 5000, func(i int) int64 { return now + int64(i) })
	verdicts := []schemas.Verdict{fullVerdict("a"), fullVerdict("b")}
	for range 2 {
		if err := ch.InsertEvents(testContext(t), b); err != nil {
			t.Fatal(err)
		}
		if err := ch.InsertVerdicts(testContext(t), verdicts); err != nil {
			t.Fatal(err)
		}
		verdicts[0].DetectedAt += 5_000_000 // detected again after a restart
	}
	if got := countOf(t, c, "SELECT count(), uniqExact(partition, offset) FROM DB.events FINAL"); got != "5000\t5000" {
		t.Errorf("events: %s, want 5000 rows of 5000 records", got)
	}
	if got := countOf(t, c, "SELECT count(), uniqExact(verdict_id) FROM DB.verdicts FINAL"); got != "2\t2" {
		t.Errorf("verdicts: %s, want 2 rows of 2 ids", got)
	}
	if got := countOf(t, c, "SELECT requests FROM DB.endpoint_health WHERE endpoint = 'GET /api/{id}'"); got != "5000" {
		t.Errorf("endpoint_health gives %s requests, want 5000", got)
	}
}

func TestManyPartitions(t *testing.T) {
	c := testConfig(t)
	c.TTL = TTLConfig{} // the rows reach back further than any TTL
	ch := openTest(t, c)
	now := time.Now()
	b := manyEvents(ch, 3000, func(i int) int64 { return now.AddDate(0, 0, -(i * 7 % 300)).UnixMicro() })
	if err := ch.InsertEvents(testContext(t), b); err != nil {
		t.Fatal(err)
	}
	if got := countOf(t, c, "SELECT count(), uniqExact(toDate(record_time)) FROM DB.events FINAL"); got != "3000\t300" {
		t.Errorf("rows and days: %s, want 3000 and 300", got)
	}
	var verdicts []schemas.Verdict
	for i := range 400 {
		v := fullVerdict(fmt.Sprint(i))
		v.RecordTime = ptr(schemas.Micros(now.AddDate(0, -i%150, 0).UnixMicro()))
		verdicts = append(verdicts, v)
	}
	if err := ch.InsertVerdicts(testContext(t), verdicts); err != nil {
		t.Fatal(err)
	}
	if got := countOf(t, c, "SELECT count() FROM DB.verdicts FINAL"); got != "400" {
		t.Errorf("verdicts: %s, want 400", got)
	}
}

// TestOldEventsStay: the TTL goes by the record's time, not by the event's.
func TestOldEventsStay(t *testing.T) {
	c := testConfig(t)
	ch := openTest(t, c)
	b := ch.NewEventBatch()
	old := schemas.Event{HasTime: true, Time: time.Date(2015, 5, 17, 10, 0, 0, 0, time.UTC).UnixMicro(), ClientIP: netip.MustParseAddr("192.0.2.1"), Method: []byte("GET"), Path: []byte("/"), Status: 200}
	b.Add(&old, schemas.Position{Topic: "t", Offset: 1}, time.Now().UnixMicro(), []byte("192.0.2.1"), []byte("GET /"))
	b.Add(&old, schemas.Position{Topic: "t", Offset: 2}, time.Now().AddDate(0, 0, -40).UnixMicro(), []byte("192.0.2.1"), []byte("GET /"))
	if err := ch.InsertEvents(testContext(t), b); err != nil {
		t.Fatal(err)
	}
	dev.Query(t, c.Addresses[0], "OPTIMIZE TABLE "+c.Database+".events FINAL")
	if got := countOf(t, c, "SELECT offset FROM DB.events FINAL"); got != "1" {
		t.Errorf("rows left: %q, want only that of today's record", got)
	}
}
