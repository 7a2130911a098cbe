package detector

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

// neededBy gives the names of fields that a program with one rule needs, besides those
// that it always does; mine stands for fields that are unknown.
func neededBy(t *testing.T, rule string) []string {
	t.Helper()
	needs := mustLoad(t, "version: 1\nrules:\n  - {id: r, "+rule+"}\n").Needs()
	var names []string
	for _, name := range append(schemas.EventFields(), "mine") {
		if needs.Has(name) {
			names = append(names, name)
		}
	}
	always := []string{"client_ip", "method", "path", "status", "timestamp", "route", "peer_ip", "x_forwarded_for", "blocked"}
	for _, name := range always {
		if !slices.Contains(names, name) {
			t.Errorf("%s: %s is always needed", rule, name)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(always, name) })
}

func TestNeeds(t *testing.T) {
	const usage = "type: usage, threshold: 1, window: 1m"
	for _, c := range []struct {
		rule string
		want []string
	}{
		{usage, nil},
		{usage + ", endpoint: GET /x/*", nil},
		{usage + ", when: 'status == 404 and method in [\"GET\"]'", nil},
		{usage + ", when: 'user_agent contains \"curl\" or not (latency_ms > 5)'", []string{"latency_ms", "user_agent"}},
		{usage + ", when: 'len(query) > 5'", []string{"query"}},
		{usage + ", when: '$env[\"referer\"] == \"x\"'", []string{"referer"}},
		{usage + ", when: 'bytes > 5'", []string{"response_bytes"}},
		{usage + ", when: 'response_fields.a.b == 1'", []string{"response_fields"}},
		{usage + ", when: 'tenant == \"x\"'", []string{"mine"}},
		{usage + ", group_by: [subject, endpoint]", nil},
		{usage + ", group_by: [subject, service, host]", []string{"service", "host"}},
		{usage + ", key: user_id", []string{"user_id"}},
		{usage + ", key: api_key_id, group_by: [subject, user_id]", []string{"user_id", "api_key_id"}},
		{"type: return_pattern, pattern: 'status:404', threshold: 1, window: 1m", nil},
		{"type: return_pattern, pattern: 'text', threshold: 1, window: 1m", []string{"response_body", "response_fields"}},
		{"type: match, pattern: 'regex:a+'", []string{"response_body", "response_fields"}},
		{"type: ratio, pattern: 'json:a == 1', threshold: 0.5, min_volume: 2, window: 1m", []string{"response_body", "response_fields"}},
		{"type: distinct, field: path, threshold: 1, window: 1m", nil},
		{"type: distinct, field: user_id, threshold: 1, window: 1m", []string{"user_id"}},
		{"type: distinct, field: response_fields.id, threshold: 1, window: 1m", []string{"response_fields"}},
		{"type: distinct, field: cart.id, threshold: 1, window: 1m", []string{"mine"}},
		{"type: outlier", nil},
		{"type: outlier, metric: distinct_paths, when: 'len(query) > 5'", []string{"query"}},
		{"type: outlier, metric: cost, group_by: [service, endpoint]", []string{"latency_ms", "service"}},
		{"type: size", []string{"latency_ms", "request_bytes", "response_bytes"}},
		{"type: size, metric: query", []string{"latency_ms", "query", "response_bytes"}},
		{"type: size, metric: response", []string{"latency_ms", "response_bytes"}},
		{"type: latency, endpoint: GET /x", []string{"latency_ms", "response_bytes"}},
		{"type: rate, group_by: [service, endpoint], when: 'user_id != nil'", []string{"latency_ms", "response_bytes", "service", "user_id"}},
	} {
		got := neededBy(t, c.rule)
		slices.Sort(got)
		slices.Sort(c.want)
		if diff := cmp.Diff(c.want, got); diff != "" && len(got)+len(c.want) > 0 {
			t.Errorf("%s needs (-want +got):\n%s", c.rule, diff)
		}
	}
}

// An engine says the same of events that have only what its program needs.
func TestNeedsAreEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := "version: 1\ntrusted_proxies: [10.0.0.0/8]\nrules:\n"
		for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
			rules += fmt.Sprintf("  - {id: r%d, %s}\n", i, drawNeedyRule(t))
		}
		p := mustLoad(t, rules)
		all, err := schemas.NewDecoder(schemas.Options{})
		if err != nil {
			t.Fatal(err)
		}
		some, err := schemas.NewDecoder(schemas.Options{Needs: p.Needs()})
		if err != nil {
			t.Fatal(err)
		}
		whole, reduced := NewEngine(p, Options{File: true}), NewEngine(p, Options{File: true})
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			record := drawRecord(t, i)
			want, got := observeRecord(t, all, whole, record, i), observeRecord(t, some, reduced, record, i)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s%s (-with all fields +with those needed):\n%s", rules, record, diff)
			}
		}
	})
}

// judged is what came of one record.
type judged struct {
	Err      error
	Bad      *schemas.BadRecord
	Outcome  Outcome
	Stats    Stats
	Verdicts []schemas.Verdict
	Changes  []schemas.BanChange
}

func observeRecord(t *rapid.T, d *schemas.Decoder, e *Engine, record string, offset int) judged {
	var ev schemas.Event
	var j judged
	if j.Err = d.Decode([]byte(record), &ev); j.Err == nil {
		j.Outcome, j.Bad = e.Observe(&ev, Record{Offset: int64(offset)})
		verdicts, changes := e.Take()
		j.Verdicts, j.Changes, j.Stats = slices.Clone(verdicts), slices.Clone(changes), e.Stats()
	}
	return j
}

func drawNeedyRule(t *rapid.T) string {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	when := pick("when", "", "", `user_agent contains "b"`, `latency_ms > 1 and host == "a"`, `mine == "a" or not (yours == 1)`, `len(query) > 1`, `bytes >= 2`,
		`referer != nil`, `$env["service"] == "a"`, `event_id == "a" or request_bytes > 1`, `response_fields.a == "b"`, `response_body matches "a"`, `timestamp > "2026"`)
	rule := pick("type",
		"type: usage, threshold: 2, window: 1m", "type: frequency, max_frequency: 2, window: 10s",
		"type: return_pattern, threshold: 1, window: 1m, pattern: "+pick("pattern", `'status:>=400'`, "a", "'regex:b$'", `'json:a == "b"'`),
		"type: distinct, threshold: 1, window: 1m, field: "+pick("field", "path", "user_id", "api_key_id", "mine", "yours.a", "response_fields.a", "response_body", "latency_ms", "peer_ip", "blocked"),
		"type: ratio, threshold: 0.3, min_volume: 2, window: 1m, pattern: "+pick("pattern", `'status:404'`, "a", `'json:a == "b"'`))
	if when != "" {
		rule += ", when: '" + when + "'"
	}
	rule += pick("endpoint", "", "", `, endpoint: "GET /a/*"`, `, endpoint: "* /{x}"`)
	rule += pick("key", "", "", ", key: user_id", ", key: api_key_id")
	return rule + pick("group", "", "", ", group_by: [subject, endpoint]", ", group_by: [subject, service]", ", group_by: [subject, host, user_id]") + pick("action", "", ", action: ban, ban_for: 20s")
}

// drawRecord makes a record with any fields, of few values.
func drawRecord(t *rapid.T, i int) string {
	record := fmt.Sprintf(`{"timestamp":"2026-01-01T00:%02d:%02d.5Z","client_ip":"%s","method":"GET","path":"%s","status":%s`, i/6, i%6*10,
		rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "10.0.0.1"}).Draw(t, "client"),
		rapid.SampledFrom([]string{"/a/1", "/a/b?a=b", "/b"}).Draw(t, "path"),
		rapid.SampledFrom([]string{"200", "404", "500"}).Draw(t, "status"))
	text := []string{`"a"`, `"b"`, `"ab"`, `null`}
	for _, f := range []struct {
		name   string
		values []string
	}{
		{"event_id", text}, {"route", []string{`"/{x}"`, `null`}}, {"service", text}, {"latency_ms", []string{"1", "1.5", `"2"`}}, {"query", text},
		{"request_bytes", []string{"1", "2"}}, {"response_bytes", []string{"1", "2"}}, {"bytes", []string{"3"}}, {"user_agent", text}, {"user_id", text},
		{"api_key_id", text}, {"referer", text}, {"host", text}, {"peer_ip", []string{`"10.0.0.1"`, `"192.0.2.3"`}},
		{"x_forwarded_for", []string{`"192.0.2.4, 10.0.0.2"`, `"x"`}}, {"response_body", append(text, `"{\"a\":\"b\"}"`)},
		{"response_fields", []string{`{"a":"b"}`, `{"a":1}`}}, {"blocked", []string{"true", "false"}},
		{"mine", text}, {"yours", []string{"1", `{"a":"b"}`}}, {"other", []string{`"x"`}},
	} {
		if rapid.IntRange(0, 2).Draw(t, "has "+f.name) == 0 {
			record += `,"` + f.name + `":` + rapid.SampledFrom(f.values).Draw(t, f.name)
		}
	}
	return record + "}"
}
