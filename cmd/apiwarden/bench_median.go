package main

import (
	"math"
	"slices"
)

// median is the middle of values, NaN of none.
func median(values []float64) float64 { return quantileOf(slices.Sorted(slices.Values(values)), 0.5) }

func medianOf[T any](all []T, value func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, v := range all {
		values[i] = value(v)
	}
	return median(values)
}

// quantileOf is the smallest of the sorted values that a share q of them does not
// exceed; for the median of an even number the mean of both in the middle.
func quantileOf(sorted []float64, q float64) float64 {
	n := len(sorted)
	switch {
	case n == 0:
		return math.NaN()
	case q == 0.5 && n%2 == 0:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[min(n-1, max(0, int(math.Ceil(q*float64(n)))-1))]
}
