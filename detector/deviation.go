package detector

import "math"

// deviation is the running mean and variance of one view of a series, forgetting at a
// fixed rate (exponentially weighted, as in West, CACM 1979).
type deviation struct {
	Mean, Variance float64
}

// of says how far x is from what was learned, in standard deviations that are widened
// by floor, so that a series that hardly moves does not make much of little.
func (d *deviation) of(x, floor float64) float64 {
	return (x - d.Mean) / (math.Sqrt(d.Variance) + floor)
}

// learn takes x in at the given rate, 0..1, with its distance cut to reach: one giant
// outlier must not become the measure of what follows.
func (d *deviation) learn(x, rate, reach float64) {
	by := max(-reach, min(reach, x-d.Mean))
	d.Mean += rate * by
	d.Variance = (1 - rate) * (d.Variance + rate*by*by)
}

// learnWithin is learn with the cut at so many widened standard deviations.
func (d *deviation) learnWithin(x, rate, floor, deviations float64) {
	d.learn(x, rate, deviations*(math.Sqrt(d.Variance)+floor))
}

// bothAgree is the geometric mean of two deviations that point the same way, else 0.
func bothAgree(a, b float64) float64 {
	if a*b <= 0 {
		return 0
	}
	return math.Copysign(math.Sqrt(a*b), a)
}
