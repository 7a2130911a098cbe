package detector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// TestLatencyDrawn shows what is found at endpoints that are drawn to show it. Something
// happens after two hours, if anything.
func TestLatencyDrawn(t *testing.T) {
	const hour, day = 3600.0, 86400.0
	const at = 2 * hour
	usual := logNormal(0.5)
	fault := func(shape latencyShape, seconds, times float64) latencyShape {
		return slowed(shape, between(at, at+seconds, times))
	}
	lasting := fault(usual, math.Inf(1), 6)
	ramp := func(seconds, times float64) latencyShape {
		return slowed(usual, func(t float64) float64 { return 1 + (times-1)*max(0, min(1, (t-at)/seconds)) })
	}
	season := slowed(usual, func(t float64) float64 { return 1 + 0.3*math.Sin(2*math.Pi*t/day) })
	misses := func(before, after float64) latencyShape {
		return cache(func(t float64) float64 {
			if t < at {
				return before
			}
			return after
		})
	}
	flat := func(ms float64) latencyShape {
		return func(*rand.Rand) func(float64) float64 { return func(float64) float64 { return ms } }
	}
	giant := func(rng *rand.Rand) func(float64) float64 {
		ms, done := usual(rng), false
		return func(t float64) float64 {
			if t > at && !done {
				done = true
				return 1e9
			}
			return ms(t)
		}
	}
	for _, c := range []struct {
		name      string
		perSecond float64
		until     float64
		shape     latencyShape
		want      string  // kinds of the findings
		within    float64 // s after at, that the first is found
	}{
		{"nothing", 1, day, usual, "", 0},
		{"six times as slow for two minutes", 1, 4 * hour, fault(usual, 120, 6), "opened closed", 30},
		{"the same at 200 requests a second", 200, 2.5 * hour, fault(usual, 120, 6), "opened closed", 20},
		{"one request a minute, slow for five", 1. / 60, day, fault(usual, 300, 20), "opened closed", 280},
		{"slow for five seconds", 1, 4 * hour, fault(usual, 5, 100), "", 0},
		{"a lasting shift, rare requests", 1. / 60, 4 * day, lasting, "opened relearned", 900},
		{"a lasting shift", 1, day, lasting, "opened relearned", 60},
		{"a lasting shift, many requests", 50, 6 * hour, lasting, "opened relearned", 20},
		{"a lasting shift downwards", 1, day, fault(usual, math.Inf(1), 0.1), "", 0},
		{"one giant outlier", 1, day, giant, "", 0},
		{"one giant outlier, rare requests", 1. / 60, 7 * day, giant, "", 0},
		{"a constant", 1, day, flat(10), "", 0},
		{"a constant, a half slower", 1, day, fault(flat(10), math.Inf(1), 1.5), "", 0},
		{"a constant, three times as slow", 1, day, fault(flat(10), math.Inf(1), 3), "opened relearned", 60},
		{"a constant, slower by less than matters", 1, day, fault(flat(0.2), math.Inf(1), 8), "", 0},
		{"a cache that misses somewhat more", 1, day, misses(0.1, 0.25), "", 0},
		{"a cache that misses half instead of a third", 1, day, misses(0.33, 0.5), "", 0},
		{"a cache that misses always, having missed rarely", 1, day, misses(0.05, 1), "opened relearned", 60},
		{"a cache with a slow source", 1, 4 * hour, fault(misses(0.3, 0.3), 300, 40), "opened closed", 300},
		{"a day's rhythm of 30 %", 1, 7 * day, season, "", 0},
		{"a day's rhythm of 30 %, rare requests", 1. / 60, 7 * day, season, "", 0},
		{"fivefold within a day", 1, 2 * day, ramp(day, 5), "", 0},
		{"fivefold within ten minutes", 1, 8 * hour, ramp(600, 5), "opened relearned", 600},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			var f latencyFeed
			f.run(rng, c.perSecond, 0, c.until, c.shape(rng))
			var kinds []string
			for _, x := range f.found {
				kinds = append(kinds, [...]string{"", "opened", "closed", "relearned"}[x.Kind])
				t.Log(x.Time/microseconds, x.Sentence("latency of POST /pay"))
				if x.Score < 0.5 || x.Score > 1 {
					t.Errorf("score %v", x.Score)
				}
			}
			if got := strings.Join(kinds, " "); got != c.want {
				t.Fatalf("found %q, want %q", got, c.want)
			}
			if c.want == "" {
				return
			}
			if took := float64(f.found[0].Time)/microseconds - at; took < 0 || took > c.within {
				t.Errorf("found after %.0f s, want %.0f s at most", took, c.within)
			}
		})
	}
}

// TestLatencyOfLoad: more traffic at the same latencies is nothing.
func TestLatencyOfLoad(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	usual := logNormal(1)(rng)
	var f latencyFeed
	for i, perSecond := range []float64{0.1, 20, 1, 0.01, 100, 0.1} {
		f.run(rng, perSecond, float64(i)*3600, float64(i+1)*3600, usual)
	}
	if len(f.found) > 0 {
		t.Errorf("found %+v", f.found)
	}
}

// TestLatencyColdStart: the first requests are what is learned, whatever they are like,
// and a fault soon after is found.
func TestLatencyColdStart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	usual := logNormal(0.5)(rng)
	for _, c := range []struct {
		name  string
		slow  [2]float64 // s
		times float64
		want  LatencyKind // of the first finding
	}{
		{"nothing", [2]float64{0, 0}, 1, LatencyNothing},
		{"slow at first", [2]float64{0, 8}, 50, LatencyNothing},
		{"slow in the second minute", [2]float64{60, 120}, 10, LatencyOpened},
	} {
		var f latencyFeed
		f.run(rng, 0.5, 0, 600, func(t float64) float64 { return usual(t) * between(c.slow[0], c.slow[1], c.times)(t) })
		got := LatencyNothing
		if len(f.found) > 0 {
			got = f.found[0].Kind
		}
		if got != c.want {
			t.Errorf("%s: found %+v", c.name, f.found)
		}
	}
}

// TestLatencyLapses: an episode of an endpoint that nobody calls any more is closed.
func TestLatencyLapses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	usual := logNormal(0.5)(rng)
	slow := func(t float64) float64 { return usual(t) * between(3600, 3660, 10)(t) }
	var f latencyFeed
	f.run(rng, 1, 0, 3660, slow)
	if !f.Open() {
		t.Fatal("no episode is open")
	}
	last := f.state.Newest
	if _, lapsed := f.Lapse(last + latencyLapse); lapsed {
		t.Error("the episode has lapsed too soon")
	}
	silent := f.Latency
	got, lapsed := silent.Lapse(last + latencyLapse + 1)
	if !lapsed || got.Kind != LatencyLapsed || got.Time != last+latencyLapse || silent.Open() {
		t.Errorf("lapsed %v: %+v", lapsed, got)
	}
	f.run(rng, 1, 9000, 9010, slow)
	if closed := f.found[len(f.found)-1]; closed != got {
		t.Errorf("closed by the next request: %+v, want %+v", closed, got)
	}
}

// TestLatencyStretches: short slow stretches that come each hour are reported a few times
// only, and what lasts longer still is.
func TestLatencyStretches(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	usual := logNormal(0.5)(rng)
	var f latencyFeed
	f.run(rng, 2, 0, 48*3600+400, func(t float64) float64 {
		if second := math.Mod(t, 3600); second < 30 || t > 48*3600 && second < 300 {
			return 10 * usual(t)
		}
		return usual(t)
	})
	opened := 0
	for _, x := range f.found {
		if x.Kind == LatencyOpened {
			opened++
		}
	}
	if last := f.found[len(f.found)-2]; opened > 2*stretchUsual || last.Kind != LatencyOpened || last.Time < 48*3600*microseconds {
		t.Errorf("%d episodes, the last of which is %+v", opened, last)
	}
}

// TestLatencySensitivity: high finds what normal does not, and normal what low does not.
func TestLatencySensitivity(t *testing.T) {
	for sensitivity, want := range map[Sensitivity]string{
		SensitivityLow: "0 0 1", SensitivityNormal: "0 1 1", SensitivityHigh: "1 1 1",
	} {
		var got []string
		for _, seconds := range []float64{13, 20, 40} {
			rng := rand.New(rand.NewPCG(1, 2))
			usual := logNormal(0.5)(rng)
			f := latencyFeed{sensitivity: sensitivity}
			f.run(rng, 5, 0, 4000, func(t float64) float64 { return usual(t) * between(3600, 3600+seconds, 10)(t) })
			got = append(got, fmt.Sprint(min(1, len(f.found))))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%v: %s, want %s", sensitivity, s, want)
		}
	}
}

func TestLatencySentences(t *testing.T) {
	for _, c := range []struct {
		finding LatencyFinding
		want    string
	}{
		{LatencyFinding{}, ""},
		{LatencyFinding{Kind: LatencyOpened, Limit: 240.1, Looked: 12, Over: 9, Observed: 610, Half: 48, Most: 130, Samples: 1000},
			"latency of POST /pay: 9 of the last 12 requests looked at took over 240 ms (typically 610 ms); of the 1000 before, 97 % took under 130 ms and half under 48 ms"},
		{LatencyFinding{Kind: LatencyClosed, Time: 300 * microseconds, Opened: 60 * microseconds, Half: 48, Most: 130},
			"latency of POST /pay: as usual again after 4 minutes; 97 % of requests usually take under 130 ms and half under 48 ms"},
		{LatencyFinding{Kind: LatencyLapsed, Half: 48, Most: 130},
			"latency of POST /pay: no request for half an hour, so nobody knows whether it is still slow; 97 % of requests usually take under 130 ms and half under 48 ms"},
		{LatencyFinding{Kind: LatencyRelearned, Time: 1860 * microseconds, Opened: 60 * microseconds, Half: 480, Most: 1300, Samples: 700},
			"latency of POST /pay: slow for 30 minutes, which is taken for usual from now on: 97 % of the last 700 requests took under 1300 ms and half under 480 ms"},
	} {
		if got := c.finding.Sentence("latency of POST /pay"); got != c.want {
			t.Errorf("sentence\n got %s\nwant %s", got, c.want)
		}
	}
}

// TestLatencyUsual: what is learned can be read, to the width of a bin.
func TestLatencyUsual(t *testing.T) {
	var f latencyFeed
	if q := f.Usual(0.5); q != 0 {
		t.Errorf("half of nothing took under %v ms", q)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	f.run(rng, 20, 0, 7200, logNormal(0.5)(rng))
	for share, deviations := range map[float64]float64{0.5: 0, 0.95: 1.645, 0.97: 1.881, 0.99: 2.326} {
		if got, want := f.Usual(share), 20*math.Exp(0.5*deviations); got < 0.93*want || got > 1.3*want {
			t.Errorf("%g %% took under %.1f ms, want %.1f", 100*share, got, want)
		}
	}
	if n := f.Samples(); n < 500 || n > 1000 {
		t.Errorf("%d samples", n)
	}
}

// TestLatencyLeavesOut: what is no number changes nothing.
func TestLatencyLeavesOut(t *testing.T) {
	var f latencyFeed
	rng := rand.New(rand.NewPCG(1, 2))
	f.run(rng, 1, 0, 3600, logNormal(0.5)(rng))
	before := f.Latency
	var s schemas.Summary
	for _, ms := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e300} {
		s.Evidence = append(s.Evidence, schemas.LatencyEvidence{Time: 3600 * microseconds, Latency: ms})
	}
	if found := f.Observe(&s, SensitivityNormal); len(found) > 0 || f.Latency != before {
		t.Errorf("found %+v", found)
	}
}
