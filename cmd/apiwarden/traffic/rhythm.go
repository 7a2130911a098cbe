package traffic

import (
	"math"
	"time"
)

// rhythm is the share of the busiest hour's visitors that are there at time at: a
// wave with its crest at 20:00 UTC and its trough, 0.4, at 08:00.
func rhythm(at int64) float64 {
	phase := float64(at%day) / float64(day)
	return 0.7 + 0.3*math.Cos(2*math.Pi*(phase-20.0/24))
}

// meanRhythm is the mean of rhythm over a span.
func meanRhythm(from, to int64) float64 {
	const parts = 100
	sum := 0.0
	for i := range int64(parts) {
		sum += rhythm(from + (to-from)*i/parts)
	}
	return sum / parts
}

// Spans of time in µs.
const (
	second = int64(time.Second / time.Microsecond)
	minute = 60 * second
	day    = 24 * 60 * minute
)

// micros is d in µs.
func micros(d time.Duration) int64 { return int64(d / time.Microsecond) }
