package consumer

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// say has a person change something now.
func (s *site) say(t *testing.T, op schemas.Op, scope schemas.Scope, value string) {
	t.Helper()
	r := sink.NewControlRecord(s.cfg.Topics.Control, &schemas.Control{Op: op, Scope: scope, Value: value, By: "anna", At: schemas.Micros(time.Now().UnixMicro())})
	if err := s.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// TestManualChangesWithinASecond lets people and a rule decide about the same clients.
func TestManualChangesWithinASecond(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		first := s.detect(t, banAfter3)
		want := func(what string, subjects ...string) {
			t.Helper()
			time.Sleep(time.Second)
			got := s.bans(t)
			for _, subject := range subjects {
				if _, ok := got[subject]; !ok {
					t.Errorf("%s: %s is not banned", what, subject)
				}
			}
			if len(got) != len(subjects) {
				t.Errorf("%s: banned are %v, want %v", what, got, subjects)
			}
		}
		time.Sleep(time.Minute) // everybody is idle
		s.say(t, schemas.OpBan, schemas.ScopeIP, "192.0.2.7")
		want("a ban by hand", "ip:192.0.2.7")
		if b := s.bans(t)["ip:192.0.2.7"]; len(b.RuleIDs) != 1 || b.RuleIDs[0] != "manual" || b.ExpiresAt-b.Since != 3600_000_000 {
			t.Errorf("the ban by hand is %+v", b)
		}
		for range 4 {
			s.put(t, "192.0.2.1", event("192.0.2.1", "/a"))
		}
		want("a ban by a rule", "ip:192.0.2.7", "ip:192.0.2.1")
		s.say(t, schemas.OpUnban, schemas.ScopeIP, "192.0.2.1")
		want("an unban", "ip:192.0.2.7")
		if err := first.stop(); err != nil {
			t.Fatal(err)
		}
		s.say(t, schemas.OpExempt, schemas.ScopeRange, "192.0.2.0/29")
		s.detect(t, banAfter3)
		want("an exemption before a restart", []string{}...)
		s.say(t, schemas.OpUnexempt, schemas.ScopeRange, "192.0.2.0/29")
		want("the ban by hand again", "ip:192.0.2.7")
	})
}

// TestCountingFollowsPeople: what people have said holds for counting from an offset on,
// which restarts know.
func TestCountingFollowsPeople(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		const a, b = "192.0.2.1", "192.0.2.2"
		s.cfg.State.Interval = schemas.Duration(5 * time.Second)
		d := s.detect(t, banAfter3)
		events := func(ip string, n int) {
			for range n {
				s.put(t, ip, event(ip, "/a"))
			}
			time.Sleep(time.Second)
		}
		want := func(what string, subjects ...string) {
			t.Helper()
			var got []string
			for _, v := range s.verdicts(t) {
				got = append(got, v.Subject)
			}
			if !slices.Equal(got, subjects) {
				t.Errorf("%s: verdicts of %v, want %v", what, got, subjects)
			}
		}
		restart := func(rest time.Duration) {
			t.Helper()
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(rest)
			d = s.detect(t, banAfter3)
		}
		s.say(t, schemas.OpExempt, schemas.ScopeIP, b)
		time.Sleep(time.Second)
		events(b, 9)
		want("exempt")
		restart(time.Second)
		events(b, 9)
		want("exempt after a restart")
		s.say(t, schemas.OpUnexempt, schemas.ScopeIP, b)
		time.Sleep(time.Second)
		events(b, 3)
		want("unexempt, and nothing counted before")
		events(b, 1)
		want("unexempt", b)
		events(a, 4)
		want("an offence", b, a)
		s.say(t, schemas.OpUnban, schemas.ScopeIP, a)
		time.Sleep(time.Second)
		events(a, 2)
		want("the old offence, pardoned", b, a)
		restart(20 * time.Second)
		events(a, 2)
		want("and after a restart", b, a)
		if ban, banned := s.bans(t)["ip:"+a]; banned {
			t.Errorf("%s is banned again: %+v", a, ban)
		}
	})
}

// TestUnreadableControlsAreSkipped: detect starts and goes on.
func TestUnreadableControlsAreSkipped(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		for _, value := range []string{"", "{}", "\x00"} {
			r := &kgo.Record{Topic: s.cfg.Topics.Control, Key: []byte("ip:192.0.2.7"), Value: []byte(value)}
			if err := s.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		s.detect(t, banAfter3)
		s.say(t, schemas.OpBan, schemas.ScopeIP, "192.0.2.7")
		time.Sleep(time.Second)
		if n := len(s.bans(t)); n != 1 {
			t.Errorf("%d bans, want one", n)
		}
	})
}
