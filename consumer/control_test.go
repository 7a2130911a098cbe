package consumer

import (
	"context"
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

func TestPendingControlsWakeThePoll(t *testing.T) {
	var p pendingControls
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.waking(cancel)
	p.add(nil)
	if ctx.Err() != nil {
		t.Fatal("woken by nothing")
	}
	p.add(make([]sink.ControlRecord, 2))
	if ctx.Err() == nil {
		t.Fatal("not woken")
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	p.waking(cancel) // what is there already wakes too
	if ctx.Err() == nil {
		t.Fatal("not woken by what was there before")
	}
	p.waking(nil)
	if n := len(p.take()); n != 2 {
		t.Fatalf("%d changes taken, want 2", n)
	}
	p.add(make([]sink.ControlRecord, 1))
	if n := len(p.take()); n != 1 {
		t.Fatalf("%d changes taken, want 1", n)
	}
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
