package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
)

const (
	each  = "  - {id: each, type: match, endpoint: GET /hit, when: 'status >= 100', emit: every, action: log}\n"
	again = "  - {id: again, type: match, endpoint: GET /hit, when: 'status >= 100', emit: every, action: log}\n"

	hitAgain = "version: 1\nrules:\n" + again // everyEvent by another name
)

// byRule counts verdicts, each id once.
func (s *site) byRule(t *testing.T) map[string]int {
	t.Helper()
	seen, n := make(map[string]bool), make(map[string]int)
	for _, v := range s.verdicts(t) {
		if !seen[v.VerdictID] {
			seen[v.VerdictID] = true
			n[v.RuleID]++
		}
	}
	return n
}

// TestChangesAfterACrash: an owner crashes that has judged records and not committed
// them, and whoever takes over has other rules, or people have said something meanwhile.
// About those records both decide the same, and the change holds from where the dead
// owner cannot have been.
func TestChangesAfterACrash(t *testing.T) {
	seldomCommits := kgo.AutoCommitInterval(24 * time.Hour) // as in TestCountsSurviveCrashes
	const rules = over3 + each
	for name, c := range map[string]struct {
		kind   entryKind
		rules  string // of the new owner
		change func(t *testing.T, s *site)
		want   map[string]int
	}{
		"nothing": {"", rules, func(*testing.T, *site) {}, map[string]int{"each": 240, "volume": 40}},
		"rules":   {entryRules, rules + again, func(*testing.T, *site) {}, map[string]int{"each": 240, "volume": 40, "again": 80}},
		"by hand": {entryControl, rules, func(t *testing.T, s *site) { s.say(t, schemas.OpExempt, schemas.ScopeRange, "192.0.2.0/24") },
			map[string]int{"each": 160, "volume": 40}},
		"bounds": {entryBound, rules, func(_ *testing.T, s *site) { s.cfg.State.MaxEndpoints = 2 }, map[string]int{"each": 240, "volume": 40}},
	} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(t *testing.T, s *site) {
				s.cfg.State.Interval = schemas.Duration(time.Hour)
				w := &wire{dial: s.net.DialContext}
				d := s.detect(t, rules, kgo.Dialer(w.Dial), seldomCommits)
				s.each(t, "/hit")
				s.each(t, "/hit")
				time.Sleep(time.Second)
				w.cut()
				if err := d.stop(); err != nil {
					t.Fatal(err)
				}
				c.change(t, s)
				s.each(t, "/hit") // nobody knows of these that they have not been judged
				s.each(t, "/hit")
				ends, err := s.adm.ListEndOffsets(t.Context(), s.cfg.Topics.Logs)
				if err != nil {
					t.Fatal(err)
				}
				d = s.detect(t, c.rules, seldomCommits)
				time.Sleep(time.Minute)
				s.each(t, "/hit")
				s.each(t, "/hit")
				time.Sleep(time.Second)
				if err := d.stop(); err != nil {
					t.Fatal(err)
				}
				for n, j := range s.journals(t) {
					for _, e := range j.Entries[1:] {
						if end, _ := ends.Lookup(s.cfg.Topics.Logs, n); e.Kind != c.kind || e.Offset != end.Offset {
							t.Errorf("partition %d: a change of %s holds from offset %d on, want one of %s, from %d", n, e.Kind, e.Offset, c.kind, end.Offset)
						}
					}
					if (len(j.Entries) > 1) != (c.kind != "") {
						t.Errorf("the journal of partition %d has %d entries", n, len(j.Entries))
					}
				}
				wantPlace(t, s.verify(t, c.rules, VerifyOptions{}), 0, 0, 0)
				if got := s.byRule(t); fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("verdicts %v, want %v", got, c.want)
				}
			})
		})
	}
}

// TestChangesAfterACrashAndAStop: between the crash and the change there is an owner that
// stops before it gets as far as the one that crashed.
func TestChangesAfterACrashAndAStop(t *testing.T) {
	seldomCommits := kgo.AutoCommitInterval(24 * time.Hour)
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(time.Hour)
		w := &wire{dial: s.net.DialContext}
		d := s.detect(t, everyEvent, kgo.Dialer(w.Dial), seldomCommits)
		for range 40 {
			s.hits(t, 100)
		}
		time.Sleep(time.Second)
		w.cut()
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		d = s.begin(t, hitAgain, append(s.behind(5_000), seldomCommits)...)
		judged := d.metrics.Records.WithLabelValues(s.cfg.Topics.Logs)
		for wait := 0; wait < 60_000 && testutil.ToFloat64(judged) < 1000; wait++ {
			time.Sleep(10 * time.Millisecond)
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if n := s.uncommitted(t); n < 500 || n > 3500 {
			t.Fatalf("%d of 4000 records are left to the third owner", n)
		}
		d = s.detect(t, hitAgain, seldomCommits)
		time.Sleep(10 * time.Second)
		s.hits(t, 100)
		time.Sleep(time.Second)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		wantPlace(t, s.verify(t, hitAgain, VerifyOptions{}), 0, 0, 0)
		if got := s.byRule(t); got["each"] != 4000 || got["again"] != 100 {
			t.Errorf("verdicts %v, want 4000 of each and 100 of again", got)
		}
	})
}

// TestChangesAfterACleanStop hold from where it stopped, also for what has come since.
func TestChangesAfterACleanStop(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, everyEvent)
		s.each(t, "/hit")
		time.Sleep(time.Second)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		for n, j := range s.journals(t) {
			if j.Closed == nil {
				t.Errorf("the journal of partition %d does not say where its owner stopped", n)
			}
		}
		s.each(t, "/hit")
		s.detect(t, hitAgain)
		time.Sleep(5 * time.Second)
		if got := s.byRule(t); got["each"] != 40 || got["again"] != 40 {
			t.Errorf("verdicts %v, want 40 of each rule", got)
		}
		for n, j := range s.journals(t) {
			if j.Closed != nil {
				t.Errorf("the journal of partition %d says that its owner has stopped, which is at work", n)
			}
		}
	})
}

// TestUntouched: how far an owner may have come that stopped, or crashed.
func TestUntouched(t *testing.T) {
	at := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		closed          *int64
		done, end, want int64
	}{
		{nil, 100, 150, 150},
		{nil, 100, 100 << 20, 100 + mostAhead},
		{at(120), 100, 150, 120},
		{at(150), 100, 150, 150},
		{at(200), 100, 150, 150}, // the log was cut off
	} {
		j := &journal{Closed: c.closed}
		if got := j.untouched(c.done, c.end); got != c.want {
			t.Errorf("closed at %v, done up to %d of %d: untouched from %d, want %d", c.closed, c.done, c.end, got, c.want)
		}
	}
}
