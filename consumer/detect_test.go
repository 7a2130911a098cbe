package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/apiwarden/apiwarden/schemas"
)

func TestEventsBecomeVerdictsAndBans(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, banAfter3)
		for range 6 {
			s.put(t, "192.0.2.1", event("192.0.2.1", "/a"))
			s.put(t, "::ffff:192.0.2.2", event("::ffff:192.0.2.2", "/a"))
		}
		s.put(t, "192.0.2.3", event("192.0.2.3", "/a"))
		time.Sleep(2 * time.Second)

		var got []string
		for _, v := range s.verdicts(t) {
			got = append(got, fmt.Sprint(v.Subject, " ", v.RuleID, " ", v.ActionTaken, " ", v.Count))
			if late := v.DetectedAt - v.EventTime; late < 0 || late > 1e6 {
				t.Errorf("detected %d µs after the event", late)
			}
		}
		want := map[string]bool{"192.0.2.1 volume ban 4": true, "192.0.2.2 volume ban 4": true}
		if len(got) != 2 || !want[got[0]] || !want[got[1]] {
			t.Errorf("verdicts %v, want %v", got, want)
		}
		bans := s.bans(t)
		if len(bans) != 2 || bans["ip:192.0.2.1"].Message != "slow down" || bans["ip:192.0.2.2"].Action != schemas.ActionBan {
			t.Errorf("bans %v, want one of each", bans)
		}
		if n := testutil.ToFloat64(d.metrics.Records.WithLabelValues("api-logs")); n != 13 {
			t.Errorf("%v records counted, want 13", n)
		}
		if n := testutil.ToFloat64(d.metrics.Miskeyed); n != 6 {
			t.Errorf("%v miskeyed records counted, want 6", n)
		}
		if n := testutil.ToFloat64(d.metrics.Verdicts.WithLabelValues("volume", "ban")); n != 2 {
			t.Errorf("%v verdicts counted, want 2", n)
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if n := s.uncommitted(t); n != 0 {
			t.Errorf("%d records are not committed after a clean stop", n)
		}
	})
}

func TestCleanStopsLoseNothingAndRepeatNothing(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		const rounds, each = 4, 500
		for range rounds {
			d := s.detect(t, everyEvent)
			s.hits(t, each)
			time.Sleep(3 * time.Millisecond) // somewhere in the middle
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
		}
		d := s.detect(t, everyEvent)
		time.Sleep(time.Second)
		s.wantEachOnce(t, rounds*each)
		if n := testutil.ToFloat64(d.metrics.Restore); n > 1 {
			t.Errorf("restore took %v s", n)
		}
	})
}

// wantEachOnce: every event has one verdict, and there are n.
func (s *site) wantEachOnce(t *testing.T, n int) {
	t.Helper()
	seen := make(map[schemas.Position]int)
	for _, v := range s.verdicts(t) {
		seen[*v.Trigger]++
	}
	for at, times := range seen {
		if times != 1 {
			t.Errorf("the event at %v has %d verdicts", at, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d events have a verdict, want %d", len(seen), n)
	}
}

func TestIdlePartitionEndsBans(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.detect(t, banAfter3)
		for range 4 {
			s.put(t, "192.0.2.1", event("192.0.2.1", "/a"))
		}
		time.Sleep(time.Second)
		if n := len(s.bans(t)); n != 1 {
			t.Fatalf("%d bans, want one", n)
		}
		time.Sleep(10 * time.Second)
		if got := s.bans(t); len(got) != 0 {
			t.Errorf("the ban did not end: %v", got)
		}
	})
}

func TestBansOfOldLogsAreNotPublished(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.detect(t, banAfter3)
		for i := range 8 {
			old := time.Now().Add(-time.Hour + time.Duration(i)*time.Second)
			s.put(t, "192.0.2.1", fmt.Sprintf(`{"client_ip":"192.0.2.1","method":"GET","path":"/","status":200,"timestamp":%d}`, old.Unix()))
		}
		time.Sleep(2 * time.Second)
		if got := s.verdicts(t); len(got) != 1 {
			t.Errorf("%d verdicts, want one", len(got))
		}
		if got := s.read(t, s.cfg.Topics.Bans); len(got) != 0 {
			t.Errorf("the ban topic has %d records of bans that are over", len(got))
		}
	})
}

func TestStartWhereTheGroupHasNoOffset(t *testing.T) {
	for name, c := range map[string]struct {
		start string
		want  int
	}{
		"earliest": {"earliest", 30},
		"latest":   {"latest", 10},
		"instant":  {"2000-01-01T00:00:30Z", 20}, // bubbles begin at midnight of 2000-01-01
	} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(t *testing.T, s *site) {
				s.cfg.Kafka.Start = c.start
				s.hits(t, 10)
				time.Sleep(time.Minute)
				s.hits(t, 10)
				time.Sleep(time.Minute)
				d := s.detect(t, everyEvent)
				time.Sleep(2 * time.Second)
				s.hits(t, 10)
				time.Sleep(2 * time.Second)
				s.wantEachOnce(t, c.want)
				if err := d.stop(); err != nil {
					t.Fatal(err)
				}
				s.hits(t, 10)
				s.detect(t, everyEvent)
				time.Sleep(2 * time.Second)
				s.wantEachOnce(t, c.want+10) // from here on the group has offsets
			})
		})
	}
}

func TestLagIsThatOfUnfinishedRecords(t *testing.T) {
	now := time.UnixMicro(100e6)
	for name, c := range map[string]struct {
		high, next, stamp int64
		records           int64
		seconds           float64
	}{
		"nothing yet":     {0, 0, 0, 0, 0},
		"caught up":       {10, 10, 40e6, 0, 0},
		"behind":          {10, 7, 40e6, 3, 60},
		"clock of others": {10, 7, 140e6, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var l lag
			l.high.Store(c.high)
			l.next.Store(c.next)
			l.stamp.Store(c.stamp)
			if diff := cmp.Diff([]any{c.records, c.seconds}, []any{l.records(), l.seconds(now)}); diff != "" {
				t.Error(diff)
			}
		})
	}
}
