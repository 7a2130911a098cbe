package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRekeyedVerdictsAreThoseOfReplay sends a log through `run` with input.rekey, keyed
// by what says nothing, and compares with replay of the same lines: users, networks
// and clients behind proxies. One key has all lines in one partition of the logs, so
// that each subject's events keep their order; the copies are in four.
func TestRekeyedVerdictsAreThoseOfReplay(t *testing.T) {
	const rules = `version: 1
trusted_proxies: [10.0.0.0/8]
subject: {ipv6_prefix: 64}
rules:
  - {id: volume, type: usage, threshold: 20, window: 1h, action: ban, ban_for: 1m}
  - {id: per-user, type: usage, threshold: 15, window: 1h, key: user_id, action: ban, ban_for: 1m}
  - {id: user-addresses, type: distinct, field: client_ip, threshold: 3, window: 10m, key: user_id, action: alert}
  - {id: per-token, type: return_pattern, pattern: "status:401", threshold: 5, window: 10m, key: api_key_id, emit: every}
`
	const events = 20_000
	t.Setenv("APIWARDEN_INPUT_REKEY", "true")
	s := startSite(t, rules, "", 4)
	rnd := rand.New(rand.NewPCG(5, 6))
	begin := time.Now().Add(-time.Hour).UnixMilli()
	var lines [][]byte
	var records []*kgo.Record
	bad := 0
	for n := range events {
		peer, more := fmt.Sprintf("192.0.2.%d", rnd.IntN(250)), ""
		switch rnd.IntN(3) {
		case 0:
			peer = fmt.Sprintf("2001:db8:0:%x::%x", rnd.IntN(200), rnd.IntN(1000))
		case 1:
			peer, more = fmt.Sprintf("10.0.0.%d", rnd.IntN(5)), fmt.Sprintf(`,"x_forwarded_for":"6.6.6.6, 198.51.100.%d, 10.1.1.1"`, rnd.IntN(200))
		}
		if rnd.IntN(2) == 0 {
			more += fmt.Sprintf(`,"user_id":"u%d"`, rnd.IntN(300))
		}
		if rnd.IntN(4) == 0 {
			more += fmt.Sprintf(`,"api_key_id":%d`, rnd.IntN(100))
		}
		line := fmt.Appendf(nil, `{"timestamp":%d,"client_ip":%q,"method":"GET","path":"/x/%c","status":%d%s}`,
			begin+int64(n*50), peer, 'a'+rnd.IntN(8), 200+201*rnd.IntN(2), more)
		if rnd.IntN(100) == 0 {
			line = line[:len(line)-1]
			bad++
		}
		lines = append(lines, line)
		records = append(records, &kgo.Record{Key: []byte("gateway"), Value: line})
	}
	s.produce(records)
	s.caughtUp(events - bad)
	want := sorted(replayed(t, rules, lines, ""))
	s.eventually("as many verdicts as replay has", func() bool { return s.number("SELECT count() FROM {db}.verdicts FINAL") >= len(want) })
	stored := sorted(strings.Fields(s.query("SELECT concat_ws('|', rule_id, subject, toString(toUnixTimestamp64Micro(event_time)), toString(count), action) FROM {db}.verdicts FINAL FORMAT TSV")))
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("verdicts of replay (-) and of run (+) differ:\n%s", diff)
	}
	for _, rule := range []string{"volume|2001:db8", "volume|198.51.100", "volume|192.0.2", "per-user|u", "user-addresses|u", "per-token|"} {
		if !strings.Contains(strings.Join(want, "\n"), rule) {
			t.Errorf("no verdict begins with %s: it is not compared", rule)
		}
	}
	if n := s.number("SELECT count() FROM {db}.events FINAL"); n != events-bad {
		t.Errorf("%d events in ClickHouse, want %d", n, events-bad)
	}
	if n := s.number("SELECT count() FROM {db}.verdicts v FINAL LEFT ANTI JOIN {db}.events e ON tupleElement(v.trigger, 'partition') = e.partition AND tupleElement(v.trigger, 'offset') = e.offset"); n != 0 {
		t.Errorf("the triggers of %d verdicts are no events of the logs", n)
	}
	s.eventually("every other line in the dead letters", func() bool { return s.records("dlq") >= bad })
	if n := s.records("dlq"); n != bad {
		t.Errorf("%d dead letters, want %d", n, bad)
	}
}
