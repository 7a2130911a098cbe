package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/schemas"
)

// busyScene is a scene with more of everything than fits.
func busyScene() scene {
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	b := newBoard()
	b.goLive(now.Add(-time.Minute))
	for i := range 100 {
		at := schemas.Micros(now.Add(-time.Duration(i) * time.Second).UnixMicro())
		subject := fmt.Sprintf("2001:db8:0:1:2:3:4:%x", i%40)
		b.verdict(schemas.Verdict{
			VerdictID: fmt.Sprint(i), RuleID: "a-rule-with-quite-a-long-name", Subject: subject, ActionTaken: []string{"ban", "throttle", "alert", "tracked"}[i%4],
			EventTime: at, Details: strings.Repeat("a long sentence ", 20),
		}, at.Time().Add(20*time.Millisecond))
		b.ban("ip:"+subject, &schemas.Ban{
			Scope: schemas.ScopeIP, Value: subject, Action: schemas.ActionBan, RuleIDs: []string{"one", "two"}, Since: at,
			ExpiresAt: schemas.Micros(now.Add(time.Hour).UnixMicro()),
		}, at.Time())
	}
	b.ban("ip:2001:db8:0:1:2:3:4:1", nil, now.Add(-time.Second))
	s := scene{now: now, phase: "live", elapsed: time.Minute, length: time.Hour, where: []place{{"kafka", "127.0.0.1:9092"}, {"metrics", "http://127.0.0.1:8080/metrics"}}}
	for _, f := range []*flow{&s.produced, &s.detected, &s.stored} {
		for i := range 300 {
			f.observe(float64(i*i*1000), time.Second)
		}
	}
	b.fill(&s)
	return s
}

// Whatever the size of the terminal, the picture has that size.
func TestSceneFitsTheTerminal(t *testing.T) {
	for name, s := range map[string]scene{"busy": busyScene(), "empty": {phase: "starting"}} {
		for width := 1; width <= 220; width += 7 {
			for height := 1; height <= 70; height += 3 {
				lines := strings.Split(drawScene(s, width, height), "\n")
				if len(lines) != height {
					t.Fatalf("%s at %dx%d has %d lines", name, width, height, len(lines))
				}
				for _, line := range lines {
					if w := ansi.StringWidth(line); w > width {
						t.Fatalf("%s at %dx%d has a line of %d cells: %s", name, width, height, w, line)
					}
				}
			}
		}
	}
}

func TestSceneSays(t *testing.T) {
	text := ansi.Strip(drawScene(busyScene(), 140, 40))
	for _, want := range []string{
		"live 1:00 of 1:00:00", "latest verdicts (100)", "enforced now (39)", "top offenders", "p99 20 ms", "25 bans, 25 throttles, 25 alerts",
		"ends in 1:00:00", "ended 0:01 ago", "kafka 127.0.0.1:9092",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestPlainTellsEachVerdictOnce(t *testing.T) {
	s := busyScene()
	var out strings.Builder
	var p plain
	p.write(&out, s)
	first := out.String()
	if n := strings.Count(first, "a long sentence \n"); n != mostPlain || !strings.Contains(first, "and 88 before them") || !strings.Contains(first, "end ") {
		t.Errorf("the first block tells of %d verdicts:\n%s", n, first)
	}
	out.Reset()
	p.write(&out, s)
	if again := out.String(); strings.Contains(again, "sentence") || strings.Contains(again, "end ") {
		t.Errorf("the second block says it again:\n%s", again)
	}
}

func TestSparkline(t *testing.T) {
	for _, c := range []struct {
		rates []float64
		width int
		want  string
	}{
		{nil, 3, "   "},
		{[]float64{0, 0}, 3, " ▁▁"},
		{[]float64{0, 50, 100}, 3, "▁▅█"},
		{[]float64{100, 1, 2}, 2, "▅█"},
	} {
		if diff := cmp.Diff(c.want, sparkline(c.rates, c.width)); diff != "" {
			t.Errorf("%v: %s", c.rates, diff)
		}
	}
}

func TestClock(t *testing.T) {
	got := []string{clock(-time.Second), clock(7 * time.Second), clock(872 * time.Second), clock(6*time.Hour + 5*time.Second)}
	if diff := cmp.Diff([]string{"0:00", "0:07", "14:32", "6:00:05"}, got); diff != "" {
		t.Error(diff)
	}
}
