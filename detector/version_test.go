package detector

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// versionRules are rules of every kind; testdata/rule_version.golden holds their
// versions, which must stay what they are for ever.
const versionRules = `version: 1
rules:
  - {id: usage, type: usage, threshold: 3}
  - {id: usage-ban, type: usage, threshold: 3, window: 60s, action: ban, ban_for: 2h, reset_on_ban: true, max_bans_per_minute: 5}
  - {id: usage-throttle, type: usage, threshold: 3, action: throttle, emit: every, window_edge: half_open}
  - {id: usage-key, type: usage, threshold: 3, key: user_id, group_by: [subject, endpoint, host]}
  - {id: endpoints, type: usage, threshold: 3, endpoint: [POST /b/*, 'GET /a/{x}', '* /c/**', 'GET /f/{n}.js'], exempt: [192.0.2.9, 10.0.0.0/8]}
  - {id: when, type: usage, threshold: 3, when: 'latency_ms > 100'}
  - {id: frequency, type: frequency, max_frequency: 0.1, window: 5m}
  - {id: pattern, type: return_pattern, threshold: 2, pattern: 'json:a.b==c'}
  - {id: distinct, type: distinct, threshold: 2, field: response_fields.id}
  - {id: ratio, type: ratio, pattern: 'status:5xx', min_volume: 20, threshold: 0.29}
  - {id: match, type: match, when: 'status == 404', action: alert}
  - {id: latency, type: latency, sensitivity: high, remind: 1h}
  - {id: rate, type: rate, group_by: [service, endpoint], action: alert}
  - {id: unseen, type: unseen}
  - {id: size, type: size}
  - {id: size-query, type: size, metric: query, action: alert}
  - {id: outlier, type: outlier, metric: requests}
  - {id: outlier-cost, type: outlier, metric: cost, sensitivity: low}
  - {id: walk, type: walk, threshold: 60, window: 10m}
  - {id: walk-far, type: walk, threshold: 60, window: 10m, max_step: 4, field: response_fields.id, group_by: [subject, user_id]}
`

func TestRuleVersionsAreWhatTheyWere(t *testing.T) {
	var got strings.Builder
	for _, r := range mustRead(t, versionRules).Rules {
		fmt.Fprintf(&got, "%s %s\n%s\n", r.ID, r.Version, decidesBy(r))
	}
	const golden = "testdata/rule_version.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("rule versions must be the same in every release:\n%s", diff)
	}
}

func TestRuleVersionIsOfWhatDecides(t *testing.T) {
	version := func(lines string) string {
		t.Helper()
		return mustRead(t, oneRule(lines)).Rules[0].Version
	}
	const base = "id: r\ntype: usage\nthreshold: 3\n"
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{base, "id: other\ntype: usage\nthreshold: 3", true},
		{base, base + "message: No.\ntags: [a]\nmode: passive", true},
		{base, base + "window: 1h\naction: log\nemit: edge\nwindow_edge: closed", true},
		{base, base + "ban_for: 3h", true}, // it does not ban
		{base, base + "group_by: [subject]", true},
		{base + "endpoint: [GET /a, GET /b]", base + "endpoint: [GET /b, GET /a, GET /b]", true},
		{base + "endpoint: GET /a/{x}", base + "endpoint: GET /a/{y}", true},
		{base + "group_by: [subject, host, endpoint]", base + "group_by: [endpoint, subject, host]", true},
		{"id: r\ntype: frequency\nthreshold: 30", "id: r\ntype: frequency\nmax_frequency: 0.00834", true},
		{base + "window: 60s", base + "window: 1m", true},
		{"id: r\ntype: walk\nthreshold: 3", "id: r\ntype: walk\nthreshold: 3\nmax_step: 1\ngroup_by: [subject, endpoint]", true},

		{base, base + "window: 61m", false},
		{base, base + "action: ban", false},
		{base + "action: ban", base + "action: ban\nban_for: 2h", false},
		{base, base + "emit: every", false},
		{base, base + "window_edge: half_open", false},
		{base, base + "key: user_id", false},
		{base, base + "endpoint: GET /a", false},
		{base, base + "when: status == 404", false},
		{base, base + "exempt: [192.0.2.1]", false},
		{base, base + "group_by: [subject, endpoint]", false},
		{base, "id: r\ntype: usage\nthreshold: 4", false},
		{"id: r\ntype: walk\nthreshold: 3", "id: r\ntype: walk\nthreshold: 3\nmax_step: 2", false},
		{base, "id: r\ntype: frequency\nthreshold: 3", false},
		{base + "endpoint: GET /a/{x}", base + "endpoint: GET /a/*", false},
	} {
		if got := version(c.a) == version(c.b); got != c.same {
			t.Errorf("%q and %q have the same version: %v", c.a, c.b, got)
		}
	}
}
