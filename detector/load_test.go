package detector

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/schemas"
)

// oneRule is a file with one rule that has these lines; the first stands in line 3.
func oneRule(lines string) string {
	return "version: 1\nrules:\n  - " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n    ") + "\n"
}

func mustRead(t *testing.T, text string) *Ruleset {
	t.Helper()
	set, err := readRules("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestRefusedRules(t *testing.T) {
	usage := "id: r\ntype: usage\nthreshold: 3\n"
	for _, c := range []struct {
		lines   string // of a rule
		mention string
		line    int
	}{
		{usage + "threshold: 4", "threshold is given twice, first in line 5", 6},
		{"id: r\ntype: usage\nthreshold: 2.5", "whole number", 5},
		{"id: r\ntype: usage\nthreshold: '3'", "threshold must be a number", 5},
		{"id: r\ntype: usage\nthreshold: 99999999999999999999", "too large", 5},
		{"id: r\ntype: usage\nthreshold: .inf", "threshold", 5},
		{"id: r\ntype: usage\nthreshold: .nan", "threshold", 5},
		{"id: r\ntype: usage\nthreshold: 1e999999999", "threshold", 5},
		{"id: r\ntype: usage\nthreshold: [3]", "it is a list", 5},
		{"id: r\ntype: usage\nthreshold:", "it is empty", 5},
		{"id: r\ntype: usage\nthreshold: true", "threshold must be a number", 5},
		{usage + "window: 1x", "window", 6},
		{usage + "window: 0", "longer than 0", 6},
		{usage + "window: 10ns", "longer than 0", 6},
		{usage + "window: [1h]", "window", 6},
		{usage + "window: 1:30", "window", 6},
		{usage + "action: ban\nban_for: -1h", "ban_for", 7},
		{usage + "action: ban\nban_for: 0", "ban_for", 7},
		{usage + "action: throttle\nthrottle_for: 0s", "throttle_for", 7},
		{usage + "action: BAN", "small letters: ban", 6},
		{usage + "action: baan", "did you mean ban?", 6},
		{"id: r\ntype: Usage\nthreshold: 3", "small letters: usage", 4},
		{"id: r\ntype: usages\nthreshold: 3", "did you mean usage?", 4},
		{"id: r\nthreshold: 3", "type is missing", 3},
		{"id: r\ntype: leaky\ncapacity: 5\nleak_every: 1s", "leaky is not available yet", 4},
		{"id: r\ntype: sequence\nsteps: ['status == 401', 'status == 200']", "sequence is not available yet", 4},
		{usage + "pattern: win", "type usage does not use pattern", 6},
		{usage + "field: path", "type usage does not use field", 6},
		{usage + "max_frequency: 1", "type usage does not use max_frequency", 6},
		{usage + "min_volume: 1", "does not use min_volume", 6},
		{usage + "sensitivity: low", "does not use sensitivity", 6},
		{usage + "steps: []", "does not use steps", 6},
		{usage + "metric: cost", "does not use metric", 6},
		{usage + "max_step: 2", "does not use max_step", 6},
		{"id: r\ntype: walk", "threshold is missing", 3},
		{"id: r\ntype: walk\nthreshold: 3\nmax_step: 0", "max_step must be 1 or more", 6},
		{"id: r\ntype: walk\nthreshold: 3\nmax_step: 1001", "max_step must be 1000 at most", 6},
		{"id: r\ntype: walk\nthreshold: 3\nmax_step: 1.5", "whole number", 6},
		{"id: r\ntype: walk\nthreshold: 3\nfield: query.id", "query is one value", 6},
		{"id: r\ntype: walk\nthreshold: 3\npattern: win", "type walk does not use pattern", 6},
		{"id: r\ntype: walk\nthreshold: 3\ngroup_by: [endpoint]", "must contain subject", 6},
		{"id: r\ntype: outlier\nmetric: paths", "distinct_paths", 5},
		{"id: r\ntype: outlier\nmetric: Errors", "small letters: errors", 5},
		{"id: r\ntype: outlier\naction: ban", "action of type outlier is alert or log", 5},
		{"id: r\ntype: outlier\nwindow: 10m", "does not use window", 5},
		{"id: r\ntype: outlier\nthreshold: 10", "does not use threshold", 5},
		{"id: r\ntype: outlier\nkey: user_id", "does not use key", 5},
		{"id: r\ntype: outlier\ngroup_by: [subject, endpoint]", "made of endpoint, service, host", 5},
		{"id: r\ntype: latency\nmetric: cost", "does not use metric", 5},
		{usage + "endpoints: GET /x", "did you mean endpoint?", 6},
		{usage + "trhottle_for: 1m", "did you mean throttle_for?", 6},
		{usage + "endpoint: []", "empty list", 6},
		{usage + "endpoint: [GET /a, /b]", "\"/b\" has no method", 6},
		{usage + "endpoint:\n  - GET /a\n  - b", "METHOD template", 8},
		{usage + "endpoint: get /a", `"GET /a"`, 6},
		{usage + "endpoint: GET a", "does not start with /", 6},
		{usage + "endpoint: GET /a?b=1", "query", 6},
		{usage + "endpoint: GET /a/v*", "* stands for one whole part", 6},
		{usage + "endpoint: GET /**/a", "* stands for one whole part", 6},
		{usage + "endpoint: GET /a/{id", "unclosed", 6},
		{usage + "endpoint: GET /a/{x}-{y}", "more than one parameter", 6},
		{usage + "endpoint: ''", "empty", 6},
		{usage + "endpoint: '*'", "METHOD template", 6},
		{usage + "endpoint: {a: b}", "it is a mapping", 6},
		{usage + "when: status", "when", 6},
		{usage + "when: frob(status)", "no function", 6},
		{usage + "when: true == false", "never true", 6},
		{usage + "when: ''", "when", 6},
		{usage + "when: [a]", "when must be text", 6},
		{usage + "key: ''", "key", 6},
		{usage + "key: response_body", "response_body", 6},
		{usage + "key: a.b", "key", 6},
		{usage + "group_by: [endpoint]", "must contain subject", 6},
		{usage + "group_by: []", "must contain subject", 6},
		{usage + "group_by: subject", "must be a list", 6},
		{usage + "group_by: [subject, subject]", "names subject twice", 6},
		{usage + "group_by: [subject, endpoints]", "did you mean endpoint?", 6},
		{usage + "exempt: [10.0.0.0/33]", "10.0.0.0/33", 6},
		{usage + "exempt: 10.0.0.0/8", "must be a list", 6},
		{usage + "exempt: ['fe80::1%eth0']", "fe80::1%eth0", 6},
		{usage + "exempt: ['::ffff:0:0/90']", "write an IPv4 range as one", 6},
		{usage + "exempt: [[10.0.0.0/8]]", "exempt", 6},
		{usage + "mode: Passive", "small letters: passive", 6},
		{usage + "window_edge: open", "window_edge", 6},
		{usage + "reset_on_ban: yes", "true or false", 6},
		{usage + "max_bans_per_minute: 0", "max_bans_per_minute", 6},
		{usage + "message: [a]", "message must be text", 6},
		{usage + "tags: gaming", "tags must be a list", 6},
		{usage + "? [a]\n: b", "a key must be a word", 6},
		{usage + "<<: {a: b}", "unknown key a", 6},
		{usage + "<<: b", "a merge key (<<) takes", 6},

		{"id: r\ntype: frequency\nmax_frequency: 1\nthreshold: 5", "give one of them", 5},
		{"id: r\ntype: frequency\nmax_frequency: -1", "more than 0", 5},
		{"id: r\ntype: frequency\nmax_frequency: 0", "more than 0", 5},
		{"id: r\ntype: frequency\nmax_frequency: .nan", "max_frequency", 5},
		{"id: r\ntype: frequency\nmax_frequency: .inf", "max_frequency", 5},
		{"id: r\ntype: frequency\nmax_frequency: 1e-400", "max_frequency", 5},
		{"id: r\ntype: frequency\nmax_frequency: '0.1'", "max_frequency must be a number", 5},
		{"id: r\ntype: frequency\nmax_frequency: 1e30", "too large", 5},
		{"id: r\ntype: frequency\nmax_frequency: 0.0002", "threshold of 0", 5},

		{"id: r\ntype: ratio\npattern: x\nthreshold: 0.5", "min_volume is missing", 3},
		{"id: r\ntype: ratio\npattern: x\nmin_volume: 0\nthreshold: 0.5", "min_volume", 6},
		{"id: r\ntype: ratio\npattern: x\nmin_volume: 5\nthreshold: 0", "between 0 and 1", 7},
		{"id: r\ntype: ratio\npattern: x\nmin_volume: 5\nthreshold: 1", "between 0 and 1", 7},
		{"id: r\ntype: ratio\npattern: x\nmin_volume: 5\nthreshold: 0.1234567890123456789012", "too many digits", 7},
		{"id: r\ntype: ratio\npattern: x\nmin_volume: 5", "threshold is missing", 3},

		{"id: r\ntype: distinct\nfield: ''\nthreshold: 3", "field", 5},
		{"id: r\ntype: distinct\nfield: a..b\nthreshold: 3", "empty name", 5},
		{"id: r\ntype: distinct\nfield: 'response_fields.items[].id'\nthreshold: 3", "[]", 5},
		{"id: r\ntype: distinct\nfield: path.x\nthreshold: 3", "nothing is below it", 5},
		{"id: r\ntype: distinct\nfield: response_body.id\nthreshold: 3", "response_fields", 5},
		{"id: r\ntype: distinct\nfield: path\nthreshold: 3\npattern: x", "does not use pattern", 7},

		{"id: r\ntype: match\nwhen: status == 404\nthreshold: 1", "does not use threshold", 6},

		{"id: r\ntype: latency\naction: ban", "alert or log", 5},
		{"id: r\ntype: latency\naction: throttle", "alert or log", 5},
		{"id: r\ntype: latency\nsensitivity: extreme", "sensitivity", 5},
		{"id: r\ntype: latency\nthreshold: 5", "does not use threshold", 5},
		{"id: r\ntype: latency\nkey: user_id", "does not use key", 5},
		{"id: r\ntype: latency\ngroup_by: [subject]", "subject", 5},
		{"id: r\ntype: latency\ngroup_by: [service]", "[service, endpoint]", 5},
		{"id: r\ntype: latency\ngroup_by: [service, host, endpoint]", "[service, endpoint]", 5},
		{"id: r\ntype: latency\nremind: soon", "remind", 5},

		{"id: ''\ntype: usage\nthreshold: 3", "id", 3},
		{"id: a_b\ntype: usage\nthreshold: 3", "a_b", 3},
		{"id: [a]\ntype: usage\nthreshold: 3", "id", 3},
	} {
		_, err := readRules("rules.yaml", []byte(oneRule(c.lines)))
		refusal, ok := err.(*Refusal)
		if !ok {
			t.Errorf("%q is accepted", c.lines)
			continue
		}
		found := false
		for _, p := range refusal.Problems {
			found = found || p.Line == c.line && strings.Contains(p.Reason, c.mention)
		}
		if !found {
			t.Errorf("%q: no %q in line %d of:\n%v", c.lines, c.mention, c.line, err)
		}
		if len(refusal.Problems) > 1 {
			t.Errorf("%q: one thing is wrong, and these are said:\n%v", c.lines, err)
		}
	}
}

func TestRefusedFiles(t *testing.T) {
	const rest = "\nrules: [{id: r, type: usage, threshold: 3}]\n"
	for _, c := range []struct {
		text    string
		mention string
		line    int
	}{
		{"", "the file is empty", 1},
		{"# nothing\n", "the file is empty", 1},
		{"rules: [{id: r, type: usage, threshold: 3}]", "version is missing", 1},
		{"version: 2" + rest, "version 2", 1},
		{"version: 1.0" + rest, "version 1.0", 1},
		{"version:" + rest, "version", 1},
		{"version: 1", "rules are missing", 1},
		{"version: 1\nrules: {a: b}", "rules must be a list", 2},
		{"version: 1\nrules: [a]", "it must be a mapping", 2},
		{"version: 1\nrules:\n  - [a]", "it must be a mapping", 3},
		{"- a", "it must be a mapping", 1},
		{"just text", "it must be a mapping", 1},
		{"version: 1\nversion: 1" + rest, "version is given twice", 2},
		{"version: 1\nfoo: 1" + rest, "unknown key foo", 2},
		{"version: 1\nmode: off" + rest, "mode", 2},
		{"version: 1\nlate: ignore" + rest, "late", 2},
		{"version: 1\nlateness: -1s" + rest, "not be negative", 2},
		{"version: 1\nmax_skew: -5m" + rest, "not be negative", 2},
		{"version: 1\nbody_limit: 0" + rest, "body_limit", 2},
		{"version: 1\nbody_limit: lots" + rest, "body_limit", 2},
		{"version: 1\nbody_limit: -1" + rest, "body_limit", 2},
		{"version: 1\nexempt: 10.0.0.0/8" + rest, "must be a list", 2},
		{"version: 1\nexempt:\n  - 10.0.0.0/8\n  - x" + rest, "\"x\"", 4},
		{"version: 1\ntrusted_proxies: [proxy]" + rest, "trusted_proxies", 2},
		{"version: 1\nsubject: {ipv6_prefix: 129}" + rest, "128 at most", 2},
		{"version: 1\nsubject: {ipv4_prefix: 33}" + rest, "32 at most", 2},
		{"version: 1\nsubject: {ipv4_prefix: 0}" + rest, "1 or more", 2},
		{"version: 1\nsubject: {ipv5_prefix: 3}" + rest, "did you mean", 2},
		{"version: 1\nsubject: 64" + rest, "subject: it must be a mapping", 2},
		{"version: 1\nendpoints: [/a]" + rest, "has no method", 2},
		{"version: 1\nescalation: {factor: 0.5}" + rest, "1 or more", 2},
		{"version: 1\nescalation: {factor: .nan}" + rest, "factor", 2},
		{"version: 1\nescalation: {max: 0}" + rest, "longer than 0", 2},
		{"version: 1\nescalation: {decay: never}" + rest, "decay", 2},
		{"version: 1\nescalation: {step: 2}" + rest, "unknown key step", 2},
		{"version: 1\ndefaults: {threshold: 2}" + rest, "unknown key threshold", 2},
		{"version: 1\ndefaults: {action: block}" + rest, "block", 2},
		{"version: 1\ndefaults: {window: 0}" + rest, "longer than 0", 2},
		{"version: 1\ndefaults:\n  emit: once" + rest, "emit", 3},
		{"version: 1\ndefaults:\n  emit: edge\n  emit: edge" + rest, "emit is given twice", 4},
		{"version: 1" + rest + "---\nversion: 1" + rest, "second YAML document", 3},
		{"version: 1\nrules: [", "no valid YAML", 2},
		{"version: 1\n\trules: []", "no valid YAML", 2},
		{"version: 1\nexempt: *nobody" + rest, "no valid YAML", 1},
		{"version: 1\nrules: &r\n  - *r", "it must be a mapping", 3},
		{"version: 1\nrules: *r", "no valid YAML", 1},
	} {
		_, err := readRules("rules.yaml", []byte(c.text))
		refusal, ok := err.(*Refusal)
		if !ok {
			t.Errorf("%q is accepted", c.text)
			continue
		}
		found := false
		for _, p := range refusal.Problems {
			found = found || p.Line == c.line && strings.Contains(p.Reason, c.mention)
		}
		if !found {
			t.Errorf("%q: no %q in line %d of:\n%v", c.text, c.mention, c.line, err)
		}
	}
}

func TestAllProblemsAtOnceByLine(t *testing.T) {
	_, err := readRules("rules.yaml", []byte(`version: 1
latenes: 5s
rules:
  - id: a
    type: usage
    threshold: 0
    window: soon
    action: Ban
  - id: a
    type: return_pattern
    pattern: 'regex:('
`))
	want := `rules.yaml:2: unknown key latenes; did you mean lateness?
rules.yaml:6: rule a: threshold must be 1 or more, it is 0
rules.yaml:7: rule a: window: "soon" is no duration (examples: 90s, 1m30s, 24h, 7d, or a number of seconds)
rules.yaml:8: rule a: action "Ban" must be written in small letters: ban
rules.yaml:9: rule a: id a is given twice, first at rules.yaml:4
rules.yaml:9: rule a: threshold is missing; type return_pattern needs it
rules.yaml:11: rule a: pattern: regex "(": missing closing ) at position 1: "("`
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestAcceptedRules(t *testing.T) {
	usage := "id: r\ntype: usage\nthreshold: 3\n"
	for _, lines := range []string{
		usage + "window: 7d",
		usage + "window: 1d12h",
		usage + "window: ' 90s '",
		usage + "window: 0.5",
		usage + "action: log\nban_for: 1h",
		usage + "tags: [a, a]",
		usage + "tags: []",
		usage + "message: 42",
		usage + "exempt: ['::ffff:10.0.0.0/104', 192.0.2.1, '2001:db8::1']",
		usage + "exempt: []",
		usage + "group_by: [subject, host, service, user_id, api_key_id, endpoint]",
		usage + "endpoint: ['* /**', 'GET /a/{id}.json', 'M-SEARCH /x', 'GET /', 'GET /:id/<int:x>/*']",
		usage + "when: status in [401, 403] and user_id != \"root\"",
		usage + "key: tenant-id",
		"id: r\ntype: usage\nthreshold: 3.0",
		"id: r\ntype: usage\nthreshold: 1e3",
		"id: r\ntype: usage\nthreshold: 1_000",
		"id: r\ntype: frequency\nthreshold: 5",
		"id: r\ntype: match\npattern: status:404\nwhen: method == \"GET\"",
		"id: r\ntype: distinct\nfield: http.method\nthreshold: 3",
		"id: r\ntype: distinct\nfield: response_fields\nthreshold: 3",
		"id: 404-probing\ntype: usage\nthreshold: 3",
		"id: 404\ntype: usage\nthreshold: 3",
		"id: r\ntype: latency\ngroup_by: [endpoint, host]\nremind: 1h\nwhen: status < 500",
		"id: r\ntype: outlier\naction: alert",
		"id: r\ntype: outlier\nmetric: cost\nsensitivity: low\nremind: 1h\ngroup_by: [service, endpoint]\nwhen: method == \"GET\"",
		"id: &x r\ntype: usage\nthreshold: 3\nmessage: *x",
	} {
		if _, err := readRules("rules.yaml", []byte(oneRule(lines))); err != nil {
			t.Errorf("%q: %v", lines, err)
		}
	}
	for _, text := range []string{
		"version: 1\nrules: []",
		"version: 1\nrules:",
		"version: 1\nexempt:\nendpoints:\ndefaults:\nsubject:\ntrusted_proxies:\nrules: []",
		"version: 1\nlateness: 0\nmax_skew: 0s\nlate: dead_letter\nrules: []",
		"---\nversion: 1\nrules: []\n---\n",
		"---\nversion: 1\nrules: []\n...\n",
		"\ufeffversion: 1\nrules: []",
		"version: 1\nescalation: {}\nrules: []",
		"version: 1\nescalation: {factor: 1.5}\nrules: []",
		"version: 1\nrules: []\nbody_limit: 1000",
	} {
		if _, err := readRules("rules.yaml", []byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSettingsAndDefaults(t *testing.T) {
	set := mustRead(t, "version: 1\nrules: [{id: r, type: usage, threshold: 3}]")
	s := set.Settings
	if s.Passive || s.Lateness != 30_000_000 || s.MaxSkew != 300_000_000 || s.LateDeadLetter || s.BodyLimit != 262144 ||
		s.Templates != nil || s.Escalation != nil || s.Exempt != nil {
		t.Errorf("built-in settings are %+v", s)
	}
	r := set.Rules[0]
	if r.Window != 3600_000_000 || r.HalfOpen || r.Every || r.Action != schemas.ActionLog || r.BanFor != 3600_000_000 ||
		r.ThrottleFor != r.Window || r.Passive || r.Key != "" || len(r.GroupBy) != 0 {
		t.Errorf("built-in defaults are %+v", r)
	}

	set = mustRead(t, `version: 1
mode: passive
lateness: 1m
late: dead_letter
max_skew: 1h
body_limit: 2KiB
exempt: [10.0.0.5/8, '::ffff:192.0.2.0/120']
trusted_proxies: [192.0.2.0/24]
subject: {ipv6_prefix: 64, ipv4_prefix: 24}
endpoints: ['GET /a/{id}']
escalation: {factor: 1.5, max: 7d}
defaults: {window: 10s, action: throttle, emit: every, window_edge: half_open, ban_for: 5m, throttle_for: 1m}
rules:
  - {id: a, type: usage, threshold: 3}
  - {id: b, type: usage, threshold: 3, window: 20s, action: ban, emit: edge, window_edge: closed, ban_for: 1h, mode: active}
  - {id: c, type: usage, threshold: 3, throttle_for: 2m, group_by: [user_id, subject, endpoint]}
`)
	s = set.Settings
	want := Settings{
		Passive: true, Lateness: 60_000_000, LateDeadLetter: true, MaxSkew: 3600_000_000, BodyLimit: 2048,
		Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")},
		Identity: schemas.Identity{
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, IPv4Prefix: 24, IPv6Prefix: 64,
		},
		Escalation: &Escalation{Factor: 1.5, Max: 7 * 24 * 3600_000_000, Decay: 720 * 3600_000_000},
		Templates:  s.Templates,
	}
	if diff := cmp.Diff(want, s, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b *Templates) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if s.Templates == nil {
		t.Error("no templates")
	}
	a, b, c := set.Rules[0], set.Rules[1], set.Rules[2]
	if !a.Passive || a.Window != 10_000_000 || !a.Every || !a.HalfOpen || a.Action != schemas.ActionThrottle || a.ThrottleFor != 60_000_000 || a.BanFor != 300_000_000 {
		t.Errorf("defaults of the file: %+v", a)
	}
	if b.Passive || b.Window != 20_000_000 || b.Every || b.HalfOpen || b.Action != schemas.ActionBan || b.BanFor != 3600_000_000 {
		t.Errorf("the rule's own: %+v", b)
	}
	if c.ThrottleFor != 120_000_000 {
		t.Errorf("throttle_for %d", c.ThrottleFor)
	}
	if diff := cmp.Diff([]string{"endpoint", "user_id"}, c.GroupBy); diff != "" {
		t.Error(diff)
	}
	if len(set.Warnings) != 1 || !strings.Contains(set.Warnings[0].Reason, "10.0.0.0/8") {
		t.Errorf("warnings %v", set.Warnings)
	}
}

func TestWarnings(t *testing.T) {
	set := mustRead(t, `version: 1
rules:
  - {id: a, type: usage, threshold: 3, throttle_for: 1m}
  - {id: b, type: usage, threshold: 3, when: 'latency > 5 and country == "DE"'}
  - {id: c, type: return_pattern, threshold: 3, pattern: 404}
  - {id: d, type: distinct, threshold: 3, field: userid}
`)
	var got []string
	for _, w := range set.Warnings {
		got = append(got, w.String())
	}
	want := []string{
		"rules.yaml:3: rule a: throttle_for says nothing here: it is for action: throttle, and the action is log",
		"rules.yaml:5: rule c: pattern 404 is searched as text in the body; status:404 would test the status",
		"rules.yaml:6: rule d: field reads userid, which is no field of the event schema; is user_id meant?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFrequencyThresholdIsExact(t *testing.T) {
	for _, c := range []struct {
		frequency, window string
		want              int64
	}{
		{"0.1", "300s", 30},
		{"0.29", "100s", 29},
		{"0.57", "100s", 57},
		{"1.15", "100s", 115},
		{"0.1", "10s", 1},
		{"0.0999999999", "10s", 1}, // within 1e-9
		{"0.333", "10s", 3},
		{"2", "1.5s", 3},
		{"1e-1", "300s", 30},
		{"1000000", "1h", 3_600_000_000},
	} {
		set := mustRead(t, oneRule("id: r\ntype: frequency\nmax_frequency: "+c.frequency+"\nwindow: "+c.window))
		if got := set.Rules[0].Threshold; got != c.want {
			t.Errorf("%s a second over %s: threshold %d, want %d", c.frequency, c.window, got, c.want)
		}
	}
}

func TestShareIsExact(t *testing.T) {
	for _, c := range []struct {
		threshold      string
		matching, seen int64
		over           bool
	}{
		{"0.7", 7, 10, false}, {"0.7", 8, 10, true},
		{"0.57", 57, 100, false}, {"0.29", 58, 200, false}, {"0.29", 59, 200, true},
		{"0.333333333333333333", 1, 3, true},
		{"1e-3", 1, 1000, false}, {"1e-3", 1, 999, true},
		{"0.999999999999999999", 1 << 62, 1 << 62, true},
	} {
		set := mustRead(t, oneRule("id: r\ntype: ratio\npattern: status:500\nmin_volume: 5\nthreshold: "+c.threshold))
		if got := set.Rules[0].Share.Over(c.matching, c.seen); got != c.over {
			t.Errorf("%d of %d over %s: %v", c.matching, c.seen, c.threshold, got)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("10-settings.yaml", "version: 1\nlateness: 0s\nexempt: [10.0.0.0/8]\ndefaults: {window: 5m}\n")
	write("20-b.yaml", "version: 1\nexempt: [192.0.2.0/24]\ndefaults: {action: alert}\nrules: [{id: b, type: usage, threshold: 1}]\n")
	write("30-a.yaml", "rules: [{id: a, type: usage, threshold: 1}]\n")
	write("30-a.test.yaml", "not: rules\n")
	write("40.yml", "not: rules\n")
	write("notes.txt", "x")
	if err := os.Mkdir(filepath.Join(dir, "sub.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	set, err := ReadRules(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Rules) != 2 || set.Rules[0].ID != "b" || set.Rules[1].ID != "a" {
		t.Fatalf("rules %v", set.Rules)
	}
	if len(set.Settings.Exempt) != 2 || set.Settings.Lateness != 0 || set.Rules[1].Window != 300_000_000 || set.Rules[1].Action != schemas.ActionAlert {
		t.Errorf("settings %+v, rule %+v", set.Settings, set.Rules[1])
	}
	if len(set.Warnings) != 1 || !strings.Contains(set.Warnings[0].String(), "40.yml:1") {
		t.Errorf("warnings %v", set.Warnings)
	}

	write("50.yaml", "lateness: 5s\ndefaults: {window: 1m}\nrules:\n  - {id: a, type: usage, threshold: 1}\n")
	_, err = ReadRules(dir)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"50.yaml:1: lateness is given twice, first at " + filepath.Join(dir, "10-settings.yaml") + ":2",
		"50.yaml:2: defaults: defaults.window is given twice",
		"50.yaml:4: rule a: id a is given twice, first at " + filepath.Join(dir, "30-a.yaml") + ":1",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for path, mention := range map[string]string{
		filepath.Join(dir, "absent.yaml"): "absent.yaml:1: reading rules: no such file",
		dir:                               ":1: the folder has no *.yaml file",
	} {
		_, err := ReadRules(path)
		if _, ok := err.(*Refusal); !ok || !strings.Contains(err.Error(), mention) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// YAML's merge keys share what rules have in common; the rule's own keys win.
func TestMergeKeys(t *testing.T) {
	set, err := readRules("rules.yaml", []byte(`version: 1
rules:
  - &base {id: a, type: usage, threshold: 3, window: 10s, action: ban}
  - {<<: *base, id: b, threshold: 4}
  - {id: c, <<: [{window: 20s}, *base]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Rule{
		{ID: "a", Threshold: 3, Window: 10e6}, {ID: "b", Threshold: 4, Window: 10e6}, {ID: "c", Threshold: 3, Window: 20e6},
	} {
		if r := set.Rules[i]; r.ID != want.ID || r.Threshold != want.Threshold || r.Window != want.Window || r.Action != schemas.ActionBan {
			t.Errorf("rule %d: %+v", i, r)
		}
	}
	if _, err := readRules("rules.yaml", []byte("version: 1\nrules: [&a {<<: [*a, *a], id: x, type: usage, threshold: 1}]\n")); err == nil {
		t.Error("an anchor that merges itself is accepted")
	}
}
