package detector

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// latencyFeed makes summaries of 10 s of an endpoint's requests, as stage one does, and has
// them judged.
type latencyFeed struct {
	Latency
	sensitivity Sensitivity
	found       []LatencyFinding

	open   schemas.Summary
	counts [schemas.LatencyBins]int64
	second []schemas.LatencyEvidence // of the second that is being filled
}

// add takes a request; times must not fall.
func (f *latencyFeed) add(at int64, ms float64, hash uint32) {
	start := at / microseconds / schemas.SummarySeconds * schemas.SummarySeconds
	if start != f.open.Start {
		f.close()
		f.open.Start = start
	}
	f.counts[schemas.LatencyBinOf(ms)]++
	if len(f.second) > 0 && f.second[0].Time/microseconds != at/microseconds {
		f.closeSecond()
	}
	f.second = append(f.second, schemas.LatencyEvidence{Time: at, Latency: ms, Hash: hash})
}

// closeSecond keeps the requests with the smallest hashes as evidence.
func (f *latencyFeed) closeSecond() {
	slices.SortFunc(f.second, func(a, b schemas.LatencyEvidence) int { return cmp.Compare(a.Hash, b.Hash) })
	kept := f.second[:min(len(f.second), schemas.SummaryEvidence)]
	slices.SortFunc(kept, func(a, b schemas.LatencyEvidence) int { return cmp.Compare(a.Time, b.Time) })
	f.open.Evidence = append(f.open.Evidence, kept...)
	f.second = f.second[:0]
}

// close has the open bucket judged.
func (f *latencyFeed) close() {
	f.closeSecond()
	if len(f.open.Evidence) == 0 {
		return
	}
	for bin, n := range f.counts {
		if n > 0 {
			f.open.Latency = append(f.open.Latency, schemas.BinCount{Bin: uint8(bin), Count: n})
			f.open.Requests += n
		}
	}
	f.found = append(f.found, f.Observe(&f.open, f.sensitivity)...)
	f.open.Requests, f.open.Latency, f.open.Evidence = 0, f.open.Latency[:0], f.open.Evidence[:0]
	f.counts = [schemas.LatencyBins]int64{}
}

// latencyShape gives the latency of a request at t, in ms and s. What it remembers is its own.
type latencyShape func(rng *rand.Rand) func(t float64) float64

// run feeds requests that come at random, so many a second on average, until an end in s.
func (f *latencyFeed) run(rng *rand.Rand, perSecond, from, until float64, ms func(t float64) float64) {
	for t := from; ; {
		if t += rng.ExpFloat64() / perSecond; t >= until {
			break
		}
		f.add(int64(t*microseconds), ms(t), rng.Uint32())
	}
	f.close()
}

// logNormal has a median of 20 ms.
func logNormal(sigma float64) latencyShape {
	return func(rng *rand.Rand) func(float64) float64 {
		return func(float64) float64 { return 20 * math.Exp(sigma*rng.NormFloat64()) }
	}
}

// cache answers in 5 ms, but for a share of requests that take 200 ms.
func cache(missed func(t float64) float64) latencyShape {
	return func(rng *rand.Rand) func(float64) float64 {
		return func(t float64) float64 {
			ms := 5.0
			if rng.Float64() < missed(t) {
				ms = 200
			}
			return ms * math.Exp(0.3*rng.NormFloat64())
		}
	}
}

func always(x float64) func(float64) float64 { return func(float64) float64 { return x } }

// pareto has a heavy tail: no variance.
func pareto(rng *rand.Rand) func(float64) float64 {
	return func(float64) float64 { return 10 * math.Pow(1-rng.Float64(), -1/1.5) }
}

// gammaHalf is the square of a normal number, gammaTwo the sum of two exponential ones.
func gammaHalf(rng *rand.Rand) func(float64) float64 {
	return func(float64) float64 { x := rng.NormFloat64(); return 1 + 20*x*x }
}

func gammaTwo(rng *rand.Rand) func(float64) float64 {
	return func(float64) float64 { return 10 * (rng.ExpFloat64() + rng.ExpFloat64()) }
}

// pauses makes all requests wait for the end of a pause.
func pauses(seconds, every float64) latencyShape {
	return func(rng *rand.Rand) func(float64) float64 {
		usual := logNormal(0.4)(rng)
		return func(t float64) float64 {
			return usual(t) + 1000*max(0, seconds-math.Mod(t, every))
		}
	}
}

// clumps has a share of requests that are ten times as slow, in runs of so many on average.
func clumps(share, run float64) latencyShape {
	return func(rng *rand.Rand) func(float64) float64 {
		usual, slow := logNormal(0.3)(rng), false
		return func(t float64) float64 {
			if slow {
				slow = rng.Float64() > 1/run
			} else {
				slow = rng.Float64() < share/run/(1-share)
			}
			if slow {
				return 10 * usual(t)
			}
			return usual(t)
		}
	}
}

// drifting has a logarithm of which half of the variance is common to all requests within
// some seconds.
func drifting(sigma, seconds float64) latencyShape {
	return func(rng *rand.Rand) func(float64) float64 {
		common, last := 0.0, 0.0
		return func(t float64) float64 {
			kept := math.Exp((last - t) / seconds)
			last = t
			common = kept*common + math.Sqrt(1-kept*kept)*rng.NormFloat64()
			return 20 * math.Exp(sigma*(common+rng.NormFloat64()))
		}
	}
}

// slowed multiplies latencies by a factor of the time.
func slowed(shape latencyShape, times func(t float64) float64) latencyShape {
	return func(rng *rand.Rand) func(float64) float64 {
		usual := shape(rng)
		return func(t float64) float64 { return usual(t) * times(t) }
	}
}

// between is x from one time to another, and 1 else.
func between(from, until, x float64) func(float64) float64 {
	return func(t float64) float64 {
		if t >= from && t < until {
			return x
		}
		return 1
	}
}
