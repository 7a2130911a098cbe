package schemas

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// summarized is what a summary is told of one request.
type summarized struct {
	Class    int
	Client   uint32
	Evidence LatencyEvidence
	Large    LargeEvent
}

func (s *Summary) addForTest(r summarized) {
	s.Requests++
	s.Classes[r.Class]++
	s.Bytes += int64(r.Client)
	s.LatencyUS += int64(r.Evidence.Latency * 1000)
	s.AddLatency(uint8(LatencyBinOf(r.Evidence.Latency)), 1)
	s.AddEvidence(r.Evidence)
	s.AddClient(r.Client)
	if s.Sizes == nil {
		s.Sizes = &Sizes{}
	}
	s.Sizes[SizeQuery].Add(r.Large)
}

// TestMergeDoesNotDependOnTheSpread wants the same of requests in one partition as of
// the same requests in several, merged in whatever order, and wants what is kept of
// clients and evidence to be what sorting all of them would keep.
func TestMergeDoesNotDependOnTheSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.Bool().Draw(t, "few") // so that hashes and times meet
		hash := rapid.Uint32()
		if few {
			hash = rapid.Uint32Range(0, 20)
		}
		requests := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) summarized {
			return summarized{
				Class: rapid.IntRange(0, 4).Draw(t, "class"), Client: hash.Draw(t, "client"),
				Evidence: LatencyEvidence{Time: rapid.Int64Range(0, 3_000_000).Draw(t, "time"), Latency: rapid.Float64Range(0, 1e4).Draw(t, "ms"), Hash: hash.Draw(t, "hash")},
				Large:    LargeEvent{Time: rapid.Int64Range(0, 3).Draw(t, "at"), Size: rapid.Int64Range(0, 3).Draw(t, "size"), Client: drawLargeEvent(t, 0).Client},
			}
		}), 0, 400).Draw(t, "requests")
		var one Summary
		parts := make([]Summary, rapid.IntRange(1, 8).Draw(t, "partitions"))
		for _, r := range requests {
			one.addForTest(r)
			parts[rapid.IntRange(0, len(parts)-1).Draw(t, "partition")].addForTest(r)
		}
		var merged Summary
		for _, i := range rapid.Permutation(seq(len(parts))).Draw(t, "order") {
			merged.Merge(&parts[i])
		}
		if d := cmp.Diff(one, merged, equalAddresses); d != "" {
			t.Fatalf("(-one partition +merged):\n%s", d)
		}
		var clients []uint32
		bySecond := map[int64][]LatencyEvidence{}
		for _, r := range requests {
			clients = append(clients, r.Client)
			bySecond[r.Evidence.Time/1e6] = append(bySecond[r.Evidence.Time/1e6], r.Evidence)
		}
		slices.Sort(clients)
		clients = slices.Compact(clients)
		if want := clients[:min(len(clients), SummaryClients)]; !slices.Equal(merged.Clients, want) {
			t.Fatalf("clients %v, want %v", merged.Clients, want)
		}
		var large []LargeEvent
		for _, r := range requests {
			large = append(large, r.Large)
		}
		slices.SortFunc(large, LargeEvent.Compare)
		if large = large[:min(len(large), SizeLargest)]; len(large) > 0 && !slices.Equal(merged.Sizes[SizeQuery].Largest, large) {
			t.Fatalf("largest %v, want %v", merged.Sizes[SizeQuery].Largest, large)
		}
		var evidence []LatencyEvidence
		for _, of := range bySecond {
			slices.SortFunc(of, LatencyEvidence.Compare)
			evidence = append(evidence, of[:min(len(of), SummaryEvidence)]...)
		}
		slices.SortFunc(evidence, LatencyEvidence.inOrder)
		if !slices.Equal(merged.Evidence, evidence) {
			t.Fatalf("evidence %v, want %v", merged.Evidence, evidence)
		}
	})
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func TestMergeLeavesTheOtherAlone(t *testing.T) {
	var a, b Summary
	b.addForTest(summarized{Client: 7, Evidence: LatencyEvidence{Time: 1, Latency: 3, Hash: 5}})
	before, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	a.Merge(&b)
	a.addForTest(summarized{Client: 3, Evidence: LatencyEvidence{Time: 0, Latency: 3, Hash: 1}})
	if after, _ := json.Marshal(b); string(after) != string(before) {
		t.Errorf("it was %s and is %s", before, after)
	}
}

func TestLatencyBins(t *testing.T) {
	for _, c := range []struct {
		ms  float64
		bin int
	}{
		{math.NaN(), 0}, {math.Inf(-1), 0}, {-1, 0}, {0, 0}, {0.05, 0}, {0.0599, 0}, {0.061, 1},
		{1, 16}, {100, 41}, {math.MaxFloat64, LatencyBins - 1}, {math.Inf(1), LatencyBins - 1},
	} {
		if got := LatencyBinOf(c.ms); got != c.bin {
			t.Errorf("%g ms lies in bin %d, want %d", c.ms, got, c.bin)
		}
	}
	for bin := range LatencyBins - 1 {
		edge := LatencyEdge(bin)
		if math.Abs(edge/(0.05*math.Pow(1.2, float64(bin+1)))-1) > 1e-12 {
			t.Errorf("the edge above bin %d is %g", bin, edge)
		}
		if below, at := LatencyBinOf(math.Nextafter(edge, 0)), LatencyBinOf(edge); below != bin || at != bin+1 {
			t.Errorf("around the edge above bin %d lie bins %d and %d", bin, below, at)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Float64Range(0.05, LatencyEdge(LatencyBins-1)*0.999).Draw(t, "ms")
		bin := LatencyBinOf(ms)
		if ms >= LatencyEdge(bin) || bin > 0 && ms < LatencyEdge(bin-1) {
			t.Fatalf("%g ms lies in bin %d, to %g", ms, bin, LatencyEdge(bin))
		}
	})
}

func BenchmarkLatencyBinOf(b *testing.B) {
	sum := 0
	for i := 0; b.Loop(); i++ {
		sum += LatencyBinOf(float64(i&1023) * 1.7)
	}
	_ = sum
}
