package detector

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

func populationOf(totals ...float64) *population {
	var p population
	for _, x := range totals {
		p[schemas.PeerBinOf(x)]++
	}
	return &p
}

// The quantiles of a population are those of its clients, to the width of a bin.
func TestPopulationQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		totals := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 1, 200).Draw(t, "totals")
		p := populationOf(totals...)
		if n := p.clients(); n != float64(len(totals)) {
			t.Fatalf("%g clients of %d", n, len(totals))
		}
		slices.Sort(totals)
		slices.Reverse(totals)
		above := rapid.IntRange(0, len(totals)-1).Draw(t, "above")
		if got, want := p.above(float64(above)), schemas.PeerBinOf(totals[above]); got != want {
			t.Errorf("the bin under %d clients is %d, it should be %d", above, got, want)
		}
		if got := p.logAbove(float64(above + 1)); math.Abs(got-math.Log(max(1, totals[above]))) > 1.001*logPeerRatio {
			t.Errorf("client %d has %g, not %g", above, totals[above], math.Exp(got))
		}
	})
}

// The tail of a population goes on as it bends, and reaches what its distribution does.
func TestTailGoesOnAsItBends(t *testing.T) {
	const n, chance = 200_000, 1e-3
	for name, c := range map[string]struct {
		quantile func(above float64) float64 // by the share of the clients that have more
		off      float64                     // times what is right
	}{
		"Pareto":      {func(p float64) float64 { return math.Pow(p, -1/1.5) }, 2},
		"lognormal":   {func(p float64) float64 { return 10 * math.Exp(math.Sqrt2*math.Erfinv(1-2*p)) }, 1.4},
		"exponential": {func(p float64) float64 { return -100 * math.Log(p) }, 1.3},
	} {
		var p population
		for i := range n {
			p[schemas.PeerBinOf(c.quantile((float64(i)+0.5)/n))]++
		}
		got, want := p.tail().reach(1000, chance), c.quantile(chance/1000)
		if got < want/1.1 || got > c.off*want {
			t.Errorf("%s: one of 1000 clients has %.3g with a chance of %g, not %.3g", name, want, chance, got)
		}
	}
}

// Counts that moves which were lost have led to under 0 are none.
func TestPopulationWithLostMoves(t *testing.T) {
	p := populationOf(1, 1, 5, 5)
	p[100]--
	if p.clients() != 4 || p.above(0) != schemas.PeerBinOf(5) {
		t.Errorf("%g clients, the first in bin %d", p.clients(), p.above(0))
	}
	var sum population
	if sum.add(p, 1); sum[100] != 0 {
		t.Errorf("%g clients were learned", sum[100])
	}
}
