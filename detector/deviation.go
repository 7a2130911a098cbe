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
	return (x - d.Mean) / d.widened(floor)
}

// widened is the standard deviation with the floor.
func (d *deviation) widened(floor float64) float64 { return math.Sqrt(d.Variance) + floor }

// cut limits x to so far from the mean.
func (d *deviation) cut(x, far float64) float64 {
	return max(d.Mean-far, min(d.Mean+far, x))
}

// learn takes x in at the given rate, 0..1, cut to so far from the mean: one giant
// outlier must not become the measure of what follows.
func (d *deviation) learn(x, rate, far float64) {
	by := d.cut(x, far) - d.Mean
	d.Mean += rate * by
	d.Variance = (1 - rate) * (d.Variance + rate*by*by)
}

// bothAgree is the geometric mean of two deviations that point the same way, else 0.
func bothAgree(a, b float64) float64 {
	if a*b <= 0 {
		return 0
	}
	return math.Copysign(math.Sqrt(a*b), a)
}
