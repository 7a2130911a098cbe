package detector

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestTrailKnowsWhatWasShown compares trails with ids that are kept one by one.
func TestTrailKnowsWhatWasShown(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	steps := 0
	for range 2000 {
		r := oracleRule{maxStep: []int{1, 2, 40, 64, 65, 200}[rnd.IntN(6)], window: 50}
		apart := []int{64, 100, 1000}[rnd.IntN(3)]
		var m [trailWords]uint64
		var c oracleCounter
		now := int64(0)
		for i := range 200 {
			now += int64(rnd.IntN(3))
			if rnd.IntN(40) == 0 {
				now += 49 + int64(rnd.IntN(4))
			}
			e := oracleEvent{time: now - int64(rnd.IntN(20)), id: rnd.IntN(7)*apart + rnd.IntN(70)}
			want := r.isStep(&c, e)
			if want {
				steps++
			}
			if got := trail(m[:]).step(uint64(e.id), e.time, span(r.window), uint64(r.maxStep)); got != want {
				t.Fatalf("id %d, the %dth, max_step %d: step %v, want %v; the trail is %x", e.id, i, r.maxStep, got, want, m)
			}
		}
	}
	if steps < 10_000 {
		t.Errorf("only %d steps", steps)
	}
}

// Largest ids are neighbours of each other and not of the smallest, whatever a snapshot
// says of stretches that there are none of.
func TestTrailAtTheEnds(t *testing.T) {
	var m [trailWords]uint64
	for _, c := range []struct {
		id   uint64
		want bool
	}{
		{9_999_999_999_999_999_999, false}, {0, false}, {9_999_999_999_999_999_998, true}, {1, true}, {math.MaxUint64, false}, {math.MaxUint64 - 1, true},
	} {
		if got := trail(m[:]).step(c.id, 1, 1, 1); got != c.want {
			t.Errorf("id %d: step %v, want %v", c.id, got, c.want)
		}
	}
	for i := range m {
		m[i] = math.MaxUint64
	}
	trail(m[:]).step(17, 1, 1, 1000)
}
