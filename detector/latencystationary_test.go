package detector

import (
	"math/rand/v2"
	"testing"
)

// stationaryShapes are endpoints at which nothing happens.
var stationaryShapes = []struct {
	name       string
	correlated bool // slow requests come together, for no reason
	shape      latencyShape
}{
	{"log-normal 0.3", false, logNormal(0.3)},
	{"log-normal 0.6", false, logNormal(0.6)},
	{"log-normal 1", false, logNormal(1)},
	{"log-normal 1.5", false, logNormal(1.5)},
	{"cache, 2 % missed", false, cache(always(0.02))},
	{"cache, 10 % missed", false, cache(always(0.1))},
	{"cache, 30 % missed", false, cache(always(0.3))},
	{"cache, 50 % missed", false, cache(always(0.5))},
	{"Pareto 1.5", false, pareto},
	{"gamma 0.5", false, gammaHalf},
	{"gamma 2", false, gammaTwo},
	{"pauses of 1 s each minute", false, pauses(1, 60)},
	{"pauses of 5 s each 10 minutes", false, pauses(5, 600)},
	{"clumps of 3, 2 %", true, clumps(0.02, 3)},
	{"clumps of 5, 1 %", true, clumps(0.01, 5)},
	{"clumps of 3, 0.5 %", true, clumps(0.005, 3)},
	{"drifting in 30 s", true, drifting(0.4, 30)},
	{"drifting in 5 minutes", true, drifting(0.4, 300)},
	{"drifting in a minute, more", true, drifting(0.6, 60)},
	{"drifting in an hour", true, drifting(0.4, 3600)},
}

// stationaryRates are requests a second, with how many days are drawn of them.
var stationaryRates = []struct{ perSecond, days float64 }{{1. / 60, 7}, {1. / 15, 7}, {0.3, 7}, {2, 1}, {10, 0.5}}

// TestLatencyStationary: where nothing happens, next to nothing is found.
func TestLatencyStationary(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given, and this draws weeks of requests")
	}
	for _, c := range []struct {
		name        string
		sensitivity Sensitivity
		most        [2]float64 // episodes in 100 endpoint-days, of requests that are independent and of correlated ones
	}{
		{"low", SensitivityLow, [2]float64{0.5, 150}},
		{"normal", SensitivityNormal, [2]float64{1.5, 180}},
		{"high", SensitivityHigh, [2]float64{5, 220}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var days [2]float64
			var episodes [2]int
			for i, s := range stationaryShapes {
				group := 0
				if s.correlated {
					group = 1
				}
				var each []int
				for j, r := range stationaryRates {
					f := latencyFeed{sensitivity: c.sensitivity}
					rng := rand.New(rand.NewPCG(uint64(i), uint64(j)))
					f.run(rng, r.perSecond, 0, r.days*86400, s.shape(rng))
					n := 0
					for _, x := range f.found {
						if x.Kind == LatencyOpened {
							n++
						}
					}
					each = append(each, n)
					episodes[group] += n
					days[group] += r.days
				}
				t.Logf("%-30s %v", s.name, each)
			}
			for group, most := range c.most {
				per100 := float64(episodes[group]) / days[group] * 100
				t.Logf("%d episodes in %.0f endpoint-days, %.1f in 100", episodes[group], days[group], per100)
				if per100 > most {
					t.Errorf("%.1f episodes in 100 endpoint-days, want %g at most", per100, most)
				}
			}
		})
	}
}
