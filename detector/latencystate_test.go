package detector

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

// TestLatencySize holds what was promised: 2 KiB, in memory and encoded.
func TestLatencySize(t *testing.T) {
	if n := unsafe.Sizeof(Latency{}); n > 2048 {
		t.Errorf("a latency is %d bytes in memory", n)
	}
	if n := len(new(Latency).AppendState(nil)); n > 2048 {
		t.Errorf("a latency is %d bytes encoded", n)
	}
}

// drawLatencySummaries draws buckets of an endpoint that is slow time and again.
func drawLatencySummaries(t *rapid.T) []schemas.Summary {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	start, times := int64(0), 1.0
	buckets := make([]schemas.Summary, rapid.IntRange(1, 400).Draw(t, "buckets"))
	for i := range buckets {
		s := &buckets[i]
		start += schemas.SummarySeconds * (1 + rng.Int64N(3))
		if rng.IntN(300) == 0 {
			start += 10_000
		}
		if rng.IntN(20) == 0 {
			times = []float64{1, 10, 1000}[rng.IntN(3)]
		}
		s.Start = start
		var counts [schemas.LatencyBins]int64
		for range 1 + rng.IntN(20) {
			e := schemas.LatencyEvidence{Time: start*microseconds + rng.Int64N(schemas.SummarySeconds*microseconds), Latency: times * math.Exp(rng.NormFloat64())}
			counts[schemas.LatencyBinOf(e.Latency)]++
			s.Evidence = append(s.Evidence, e)
		}
		slices.SortFunc(s.Evidence, func(a, b schemas.LatencyEvidence) int { return cmp.Compare(a.Time, b.Time) })
		for bin, n := range counts {
			if n > 0 {
				s.Latency = append(s.Latency, schemas.BinCount{Bin: uint8(bin), Count: n})
			}
		}
	}
	return buckets
}

// TestLatencyGoesOn: cut anywhere and restored, a latency finds what it would have found;
// episodes are opened before they end, and not twice.
func TestLatencyGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		buckets := drawLatencySummaries(t)
		sensitivity := rapid.SampledFrom([]Sensitivity{SensitivityNormal, SensitivityLow, SensitivityHigh}).Draw(t, "sensitivity")
		cut := rapid.IntRange(0, len(buckets)-1).Draw(t, "cut")
		var whole, restored Latency
		open := false
		for i := range buckets {
			if i == cut {
				state := whole.AppendState([]byte("before"))
				if err := restored.RestoreState(state[len("before"):]); err != nil {
					t.Fatal(err)
				}
			}
			want := whole.Observe(&buckets[i], sensitivity)
			for _, f := range want {
				if (f.Kind == LatencyOpened) == open || f.Score <= 0 || f.Score > 1 || f.Over > f.Looked || f.Opened > f.Time {
					t.Fatalf("bucket %d, open %v: %+v", i, open, f)
				}
				open = f.Kind == LatencyOpened
			}
			if open != whole.Open() || open != (whole.Episode().Kind == LatencyOpened) {
				t.Fatalf("bucket %d: open is %v", i, whole.Open())
			}
			if i < cut {
				continue
			}
			if diff := gocmp.Diff(want, restored.Observe(&buckets[i], sensitivity)); diff != "" || restored != whole {
				t.Fatalf("bucket %d (-whole +restored):\n%s", i, diff)
			}
		}
	})
}

// fedLatency has learned for an hour.
func fedLatency() Latency {
	rng := rand.New(rand.NewPCG(1, 2))
	var f latencyFeed
	f.run(rng, 1, 0, 3600, logNormal(0.5)(rng))
	return f.Latency
}

func TestLatencyStateIsRefused(t *testing.T) {
	l := fedLatency()
	good := l.AppendState(nil)
	changed := func(change func(*latencyState)) []byte {
		other := l
		change(&other.state)
		return other.AppendState(nil)
	}
	before := l
	for name, b := range map[string][]byte{
		"empty":    nil,
		"cut":      good[:100],
		"long":     append(slices.Clone(good), 0),
		"other":    append([]byte{latencyVersion + 1}, good[1:]...),
		"phase":    changed(func(s *latencyState) { s.Phase = latencyOpen + 1 }),
		"negative": changed(func(s *latencyState) { s.Usual.Counts[3] = -1 }),
		"no count": changed(func(s *latencyState) { s.Lately.Counts[3] = float32(math.NaN()) }),
		"total":    changed(func(s *latencyState) { s.Usual.Total = 7 }),
	} {
		err := l.RestoreState(b)
		if err == nil || errors.Is(err, ErrLatencyVersion) != (name == "other") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l != before {
		t.Error("a state that was refused has changed the latency")
	}
}

// FuzzLatencyState: whatever is restored, judging goes on.
func FuzzLatencyState(f *testing.F) {
	l := fedLatency()
	f.Add(l.AppendState(nil), int64(3600*microseconds), 500.)
	f.Fuzz(func(t *testing.T, state []byte, at int64, ms float64) {
		var l Latency
		if l.RestoreState(state) != nil {
			return
		}
		for i := range int64(5) {
			s := schemas.Summary{
				Evidence: []schemas.LatencyEvidence{{Time: at + i*10*microseconds, Latency: ms}},
				Latency:  []schemas.BinCount{{Bin: uint8(schemas.LatencyBinOf(ms)), Count: 1}},
			}
			for _, x := range l.Observe(&s, SensitivityNormal) {
				_ = x.Sentence("latency")
			}
		}
	})
}
