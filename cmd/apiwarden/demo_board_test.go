package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/cmd/apiwarden/traffic"
	"github.com/apiwarden/apiwarden/schemas"
)

func TestBoardCountsEachVerdictOnce(t *testing.T) {
	b := newBoard()
	now := time.Now()
	b.goLive(now.Add(-time.Second))
	at := schemas.Micros(now.UnixMicro())
	v := schemas.Verdict{VerdictID: "a", RuleID: "r", Subject: "192.0.2.1", ActionTaken: "ban", EventTime: at}
	b.verdict(v, now.Add(30*time.Millisecond))
	b.verdict(v, now.Add(time.Hour))
	old := v
	old.VerdictID, old.EventTime = "b", schemas.Micros(now.Add(-time.Hour).UnixMicro())
	b.verdict(old, now)
	if verdicts, bans, dead := b.counts(); verdicts != 2 || bans != 2 || dead != 0 {
		t.Errorf("%d verdicts, %d bans, %d dead letters", verdicts, bans, dead)
	}
	if age, ok := b.age(0.99); !ok || age.Round(time.Millisecond) != 30*time.Millisecond {
		t.Errorf("p99 is %v, want 30 ms: the history does not count, nor what comes twice", age)
	}
}

func TestBoardFollowsBans(t *testing.T) {
	b := newBoard()
	now := time.Now()
	ban := &schemas.Ban{Scope: schemas.ScopeIP, Value: "192.0.2.1", Action: schemas.ActionBan, ExpiresAt: schemas.Micros(now.Add(time.Minute).UnixMicro())}
	if before := b.ban("ip:192.0.2.1", ban, now); before != nil {
		t.Errorf("before it there was %v", before)
	}
	throttle := &schemas.Ban{Scope: schemas.ScopeIP, Value: "192.0.2.2", Action: schemas.ActionThrottle, ExpiresAt: ban.ExpiresAt}
	b.ban("ip:192.0.2.2", throttle, now)
	var s scene
	s.now = now
	b.fill(&s)
	if s.bansLive != 2 {
		t.Errorf("%d enforced, want 2", s.bansLive)
	}
	if before := b.ban("ip:192.0.2.1", nil, now); before == nil || before.Value != "192.0.2.1" {
		t.Errorf("what ended was %v", before)
	}
	if before := b.ban("ip:192.0.2.1", nil, now); before != nil {
		t.Errorf("it ended twice: %v", before)
	}
	b.fill(&s)
	if s.bansLive != 1 || len(s.ended) != 1 {
		t.Errorf("%d enforced and %d ended, want one each", s.bansLive, len(s.ended))
	}
	// A throttled client is not a banned one.
	if diff := cmp.Diff([]string{"192.0.2.1"}, b.bannedSubjects()); diff != "" {
		t.Error(diff)
	}
}

func TestReckoning(t *testing.T) {
	actor := func(addr string, done bool) traffic.Actor {
		return traffic.Actor{Name: "x", Addr: netip.MustParseAddr(addr), Done: done}
	}
	attackers := []traffic.Actor{actor("192.0.2.1", true), actor("192.0.2.2", true), actor("192.0.2.3", false)}
	innocents := []traffic.Actor{actor("203.0.113.1", false)}
	for _, c := range []struct {
		name        string
		banned      []string
		interrupted bool
		missed      []string
		innocent    []string
		attackers   int
		sound       bool
	}{
		{"all caught", []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, false, []string{}, []string{}, 3, true},
		{"one missed", []string{"192.0.2.1", "192.0.2.2"}, false, []string{"192.0.2.3"}, []string{}, 3, false},
		{"interrupted before it was due", []string{"192.0.2.1", "192.0.2.2"}, true, []string{}, []string{}, 2, true},
		{"interrupted, and one missed", []string{"192.0.2.1"}, true, []string{"192.0.2.2"}, []string{}, 2, false},
		{"an innocent", []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "203.0.113.1"}, false, []string{}, []string{"203.0.113.1"}, 3, false},
		{"a visitor", []string{"100.64.1.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"}, false, []string{}, []string{"100.64.1.1"}, 3, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := reckoning{settled: true}
			r.judgeActors(attackers, innocents, c.banned, c.interrupted)
			if diff := cmp.Diff(c.missed, r.Missed); diff != "" {
				t.Errorf("missed: %s", diff)
			}
			if diff := cmp.Diff(c.innocent, r.InnocentBanned); diff != "" {
				t.Errorf("innocents: %s", diff)
			}
			if len(r.Attackers) != c.attackers || r.sound() != c.sound {
				t.Errorf("%d attackers, sound: %v", len(r.Attackers), r.sound())
			}
		})
	}
	lost := reckoning{settled: true, EventsProduced: 2, EventsStored: 1}
	twice := reckoning{settled: true, Verdicts: 1, VerdictsStored: 2}
	late := reckoning{}
	letters := reckoning{settled: true, DeadLettered: 1}
	for _, r := range []reckoning{lost, twice, late, letters} {
		if r.sound() {
			t.Errorf("%+v is sound", r)
		}
	}
}
