package consumer

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestModelAgreesWithArithmetic: for one process and nothing to restore there is a
// closed form: what came while it was away is worked off by what it has to spare.
func TestModelAgreesWithArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := groupModel(rapid.IntRange(1, 20).Draw(t, "partitions"))
		m.rate = rapid.Float64Range(1e3, 1e6).Draw(t, "rate")
		used := rapid.Float64Range(0.05, 0.9).Draw(t, "used")
		m.capacity = m.rate / used
		away := time.Duration(rapid.IntRange(1, 120).Draw(t, "away")) * time.Second
		got := m.rolling(1, away, true)
		gone := (away + m.notice).Seconds()
		each, peak := gone/(1-used), gone
		tolerance := 3 * modelStep / (1 - used) // steps, and what is worked off of them
		if d := got.each.Seconds() - each; d < -tolerance || d > tolerance {
			t.Fatalf("calm after %v, want %.1f s", got.each, each)
		}
		if d := got.peak.Seconds() - peak; d < -0.5 || d > 0.5 {
			t.Fatalf("lag %v at worst, want %.1f s", got.peak, peak)
		}
	})
}

// TestModelOfTooLittle: what cannot keep up never catches up, and says so.
func TestModelOfTooLittle(t *testing.T) {
	m := groupModel(10)
	m.rate, m.capacity = 100, 90
	if r := m.rolling(1, time.Second, true); r.each >= 0 {
		t.Errorf("calm after %v with nine tenths of the capacity that it takes", r.each)
	}
	m = groupModel(10)
	m.rate, m.cores, m.capacity = 1000, 4, 300 // 1200 in all, and a partition needs 100
	if r := m.rolling(1, time.Second, true); r.each < 0 {
		t.Error("never calm, although there is capacity to spare")
	}
}
