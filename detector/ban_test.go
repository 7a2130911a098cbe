package detector

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/schemas"
)

// at is an event of 198.51.100.7 (or of another address) so many seconds after the
// origin of a table's test.
type at struct {
	t    float64
	from string
	user string
}

const origin = 1_767_225_600e6

// play judges the events and gives the verdicts as "rule@offset" with what became of
// the action, and the changes of the ban topic with their end in seconds.
func play(t *testing.T, rules string, events []at) (verdicts, changes []string) {
	t.Helper()
	e := NewEngine(mustLoad(t, "version: 1\n"+rules), Options{Topic: "t", File: true})
	for i, ev := range events {
		ip := ev.from
		if ip == "" {
			ip = "198.51.100.7"
		}
		e.Observe(&schemas.Event{
			Time: origin + int64(ev.t*1e6), HasTime: true, ClientIP: netip.MustParseAddr(ip), Status: 200,
			Method: []byte("GET"), Path: []byte("/x"), UserID: []byte(ev.user),
		}, Record{Offset: int64(i)})
		vs, cs := e.Take()
		for _, v := range vs {
			verdicts = append(verdicts, fmt.Sprintf("%s@%d %s", v.RuleID, v.Trigger.Offset, v.ActionTaken))
		}
		for _, c := range cs {
			if c.End {
				changes = append(changes, fmt.Sprintf("@%d %s end", i, c.Ban.Value))
				continue
			}
			changes = append(changes, fmt.Sprintf("@%d %s %s %s until %g", i, c.Ban.Value, c.Ban.Action,
				strings.Join(c.Ban.RuleIDs, "+"), float64(int64(c.Ban.ExpiresAt)-origin)/1e6))
		}
	}
	return verdicts, changes
}

func TestWhatFiringLeadsTo(t *testing.T) {
	for name, c := range map[string]struct {
		rules             string
		events            []at
		verdicts, changes []string
	}{
		"a throttle ends": {
			"rules: [{id: a, type: usage, threshold: 1, window: 10s, action: throttle, throttle_for: 5s}]",
			[]at{{t: 0}, {t: 1}, {t: 6, from: "192.0.2.1"}, {t: 6.1, from: "192.0.2.2"}},
			[]string{"a@1 throttle"},
			[]string{"@1 198.51.100.7 throttle a until 6", "@3 198.51.100.7 end"},
		},
		"emit every makes a throttle longer": {
			"rules: [{id: a, type: usage, threshold: 1, window: 10s, action: throttle, emit: every}]",
			[]at{{t: 0}, {t: 1}, {t: 2}, {t: 40}},
			[]string{"a@1 throttle", "a@2 throttle"},
			[]string{"@1 198.51.100.7 throttle a until 11", "@2 198.51.100.7 throttle a until 12", "@3 198.51.100.7 end"},
		},
		"a throttle that outlives a ban comes back": {
			`rules:
- {id: a, type: usage, threshold: 1, window: 10s, action: throttle, throttle_for: 100s}
- {id: b, type: usage, threshold: 2, window: 10s, action: ban, ban_for: 10s}`,
			[]at{{t: 0}, {t: 1}, {t: 2}, {t: 20, from: "192.0.2.1"}, {t: 200, from: "192.0.2.1"}},
			[]string{"a@1 throttle", "b@2 ban"},
			[]string{
				"@1 198.51.100.7 throttle a until 101", "@2 198.51.100.7 ban a+b until 12",
				"@3 198.51.100.7 throttle a until 101", "@4 198.51.100.7 end",
			},
		},
		"ends come in their order": {
			"lateness: 0s\nrules: [{id: a, type: usage, threshold: 1, window: 100s, action: throttle, throttle_for: 50s, emit: every}]",
			[]at{{t: 0}, {t: 1}, {t: 2, from: "192.0.2.1"}, {t: 3, from: "192.0.2.1"}, {t: 4}, {t: 500}},
			[]string{"a@1 throttle", "a@3 throttle", "a@4 throttle"},
			[]string{
				"@1 198.51.100.7 throttle a until 51", "@3 192.0.2.1 throttle a until 53", "@4 198.51.100.7 throttle a until 54",
				"@5 192.0.2.1 end", "@5 198.51.100.7 end",
			},
		},
		"a network that overlaps an exempt address is not banned": {
			"exempt: ['2001:db8:0:1::5']\nsubject: {ipv6_prefix: 64}\nrules: [{id: a, type: usage, threshold: 1, window: 10s, action: ban}]",
			[]at{
				{t: 0, from: "2001:db8:0:1::5"}, {t: 1, from: "2001:db8:0:1::6"}, {t: 2, from: "2001:db8:0:1::7"},
				{t: 3, from: "2001:db8:0:2::7"}, {t: 3, from: "2001:db8:0:2::8"},
			},
			[]string{"a@2 tracked", "a@4 ban"},
			[]string{"@4 2001:db8:0:2::/64 ban a until 3603"},
		},
		"two rules on one event are one ban of the ladder": {
			`escalation: {factor: 3, max: 24h, decay: 720h}
rules:
- {id: a, type: usage, threshold: 1, window: 10s, action: ban, ban_for: 10s}
- {id: b, type: usage, threshold: 1, window: 10s, action: ban, ban_for: 20s}`,
			[]at{{t: 0}, {t: 1}, {t: 100}, {t: 101}},
			[]string{"a@1 ban", "b@1 ban", "a@3 ban", "b@3 ban"},
			[]string{"@1 198.51.100.7 ban a+b until 21", "@2 198.51.100.7 end", "@3 198.51.100.7 ban a+b until 161"},
		},
		"over the budget a ban is an alert, and holds for counting": {
			"rules: [{id: a, type: usage, threshold: 1, window: 10s, action: ban, max_bans_per_minute: 1}]",
			[]at{
				{t: 0}, {t: 1}, {t: 2, from: "192.0.2.1"}, {t: 3, from: "192.0.2.1"}, {t: 4, from: "192.0.2.1"},
				{t: 70, from: "192.0.2.2"}, {t: 71, from: "192.0.2.2"},
			},
			[]string{"a@1 ban", "a@3 alert", "a@6 ban"},
			[]string{"@1 198.51.100.7 ban a until 3601", "@6 192.0.2.2 ban a until 3671"},
		},
		"a late event is under the ban that held at its time": {
			"lateness: 60s\nrules: [{id: a, type: usage, threshold: 1, window: 100s, action: ban, ban_for: 10s, emit: every}]",
			[]at{{t: 0}, {t: 1}, {t: 30, from: "192.0.2.1"}, {t: 5}, {t: 20}, {t: 0.5}},
			[]string{"a@1 ban", "a@4 ban", "a@5 ban"},
			[]string{"@1 198.51.100.7 ban a until 11", "@2 198.51.100.7 end", "@4 198.51.100.7 ban a until 30"},
		},
		"a late event is no reason for a second verdict before a ban": {
			"lateness: 60s\nrules: [{id: a, type: usage, threshold: 1, window: 100s, action: ban, ban_for: 10s}]",
			[]at{{t: 0}, {t: 1}, {t: 0.5}, {t: 12}},
			[]string{"a@1 ban", "a@3 ban"},
			[]string{"@1 198.51.100.7 ban a until 11", "@3 198.51.100.7 end", "@3 198.51.100.7 ban a until 22"},
		},
		"the third ban of a ladder is not cut to the µs below": {
			"escalation: {factor: 1.7, max: 1h, decay: 1h}\nrules: [{id: a, type: usage, threshold: 1, window: 2s, action: ban, ban_for: 10s}]",
			[]at{{t: 0}, {t: 1}, {t: 20}, {t: 21}, {t: 50}, {t: 51}},
			[]string{"a@1 ban", "a@3 ban", "a@5 ban"},
			[]string{
				"@1 198.51.100.7 ban a until 11", "@2 198.51.100.7 end", "@3 198.51.100.7 ban a until 38",
				"@4 198.51.100.7 end", "@5 198.51.100.7 ban a until 79.9",
			},
		},
		"a rule keyed by a user": {
			"rules: [{id: a, type: usage, threshold: 1, window: 100s, action: ban, key: user_id}]",
			[]at{{t: 0, user: "u1"}, {t: 1, user: "u2", from: "192.0.2.9"}, {t: 2, user: "u1", from: "192.0.2.9"}, {t: 3}},
			[]string{"a@2 ban"},
			[]string{"@2 u1 ban a until 3602"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			verdicts, changes := play(t, c.rules, c.events)
			if diff := cmp.Diff(c.verdicts, verdicts); diff != "" {
				t.Errorf("verdicts, want (-), got (+):\n%s", diff)
			}
			if diff := cmp.Diff(c.changes, changes); diff != "" {
				t.Errorf("changes, want (-), got (+):\n%s", diff)
			}
		})
	}
}

// A late ban is a step of the ladder like any other: rule b's, at 31 s, is the
// subject's second and lasts twice as long, a's next one the third.
func TestLateBanEscalates(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
lateness: 1h
escalation: {factor: 2, max: 1h, decay: 1h}
rules:
- {id: a, type: usage, threshold: 1, window: 5s, action: ban, ban_for: 10s, endpoint: GET /a}
- {id: b, type: usage, threshold: 1, window: 5s, action: ban, ban_for: 10s, endpoint: GET /b}
`), Options{Topic: "t", File: true})
	var ends []float64
	for i, ev := range []struct {
		t    int64
		path string
	}{{50, "/a"}, {51, "/a"}, {30, "/b"}, {31, "/b"}, {100, "/a"}, {101, "/a"}} {
		e.Observe(&schemas.Event{
			Time: origin + ev.t*1e6, HasTime: true, ClientIP: netip.MustParseAddr("198.51.100.7"), Status: 200,
			Method: []byte("GET"), Path: []byte(ev.path),
		}, Record{Offset: int64(i)})
		verdicts, _ := e.Take()
		for _, v := range verdicts {
			ends = append(ends, float64(int64(*v.ExpiresAt)-origin)/1e6)
		}
	}
	if diff := cmp.Diff([]float64{61, 51, 141}, ends); diff != "" {
		t.Errorf("ends of the bans, want (-), got (+):\n%s", diff)
	}
}

// A client that comes back after each ban is banned with an exact count each time,
// and its counts do not end with the years.
func TestRenewedBansCountExactly(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
rules:
- {id: usage, type: usage, threshold: 3, window: 24h, action: ban, ban_for: 60s}
- {id: yearly, type: usage, threshold: 1, window: 1000d, emit: every}
`), Options{Topic: "t", File: true})
	count := func(t0 int64, rule string) (n int64) {
		e.Observe(&schemas.Event{
			Time: t0, HasTime: true, ClientIP: netip.MustParseAddr("198.51.100.7"), Status: 200, Method: []byte("GET"), Path: []byte("/a"),
		}, Record{})
		verdicts, _ := e.Take()
		for _, v := range verdicts {
			if v.RuleID == rule {
				n = v.Count
			}
		}
		return n
	}
	for i := range int64(600) {
		if n := count(origin+i*70e6, "usage"); i >= 3 && n != i+1 {
			t.Fatalf("event %d: count %d", i, n)
		}
	}
	const year = int64(364*24*3600) * 1e6
	for i := range int64(40) {
		n := count(origin+(i+1)*year, "yearly")
		if want := min(i+1, 3); i > 2 && n < 2 {
			t.Errorf("year %d: count %d, the window holds %d", i, n, want)
		}
	}
}

// A client that comes back after decades, in a log where nobody else is new, finds
// nothing of its old counts.
func TestCountsDoNotComeBackAfterDecades(t *testing.T) {
	e := NewEngine(mustLoad(t, "version: 1\nrules: [{id: a, type: usage, threshold: 1, window: 1h, emit: every}]\n"), Options{Topic: "t", File: true})
	const year = int64(364*24*3600) * 1e6
	fired := 0
	see := func(t0 int64, ip string) {
		e.Observe(&schemas.Event{
			Time: t0, HasTime: true, ClientIP: netip.MustParseAddr(ip), Status: 200, Method: []byte("GET"), Path: []byte("/a"),
		}, Record{})
		verdicts, _ := e.Take()
		fired += len(verdicts)
	}
	see(origin, "198.51.100.7")
	see(origin+20e6, "198.51.100.7")
	fired = 0
	// As far from the first events as makes the bits of a log entry begin anew.
	late := int64(origin + 1<<48 + 3610e6)
	for i := range int64(9) {
		see(origin+i*year, "192.0.2.1")
	}
	see(late, "192.0.2.1")
	see(late, "198.51.100.7")
	if fired != 0 {
		t.Errorf("%d verdicts about a client with one event in the hour", fired)
	}
	see(late+1, "198.51.100.7")
	if fired != 1 {
		t.Errorf("%d verdicts about two events at once", fired)
	}
}

// Who was banned long ago takes no memory.
func TestEnforcementIsForgotten(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
escalation: {factor: 2, max: 1h, decay: 10m}
rules: [{id: a, type: usage, threshold: 1, window: 10s, action: ban, ban_for: 1m, reset_on_ban: true, group_by: [subject, endpoint]}]
`), Options{Topic: "t", File: true})
	for i := range 20_000 {
		e.Observe(&schemas.Event{
			Time: origin + int64(i/2)*1e6, HasTime: true, ClientIP: netip.AddrFrom4([4]byte{10, 0, byte(i >> 9), byte(i >> 1)}),
			Status: 200, Method: []byte("GET"), Path: []byte("/x"),
		}, Record{Offset: int64(i)})
		e.Take()
	}
	// A minute of ban, ten minutes of decay, half a minute of lateness.
	subjects, endings := 0, 0
	for i := range e.shards {
		subjects += len(e.shards[i].bans.subjects)
		endings += len(e.shards[i].bans.ends)
	}
	if subjects > 750 || subjects != e.filter.held {
		t.Errorf("%d subjects are remembered, the filter counts %d", subjects, e.filter.held)
	}
	if endings > 1500 {
		t.Errorf("%d endings wait", endings)
	}
}
