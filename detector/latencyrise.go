package detector

import (
	"math"

	"github.com/apiwarden/apiwarden/schemas"
)

// latencyRise is a cumulative sum of the evidence for a fault (CUSUM: Page, Biometrika
// 1954), which is never below 0.
type latencyRise struct {
	Sum    float64
	Since  int64  // it left 0, µs
	Looked uint64 // requests since then
}

// take adds what one request says, up to most.
func (r *latencyRise) take(e *schemas.LatencyEvidence, limit *latencyLimit, most float64) {
	before := r.Sum
	if e.Latency > limit.Over {
		r.Sum = min(most, r.Sum+limit.step(e.Latency))
	} else {
		r.Sum = max(0, r.Sum+limit.down)
	}
	if before == 0 {
		r.Since, r.Looked = e.Time, 0
	}
	r.Looked++
}

// step is what a request over the limit adds. Where too few requests were learned to say
// that one in twenty is over it, an extreme one makes up for that.
func (l *latencyLimit) step(ms float64) float64 {
	if !l.stretch {
		return l.up
	}
	return min(usualUp, l.up+math.Log(ms/l.Over))
}

// lasted gives the seconds since the sum left 0.
func (r *latencyRise) lasted(at int64) float64 { return float64(at-r.Since) / microseconds }

// latencyStretches remembers the short slow stretches of an endpoint. Where they come time
// and again they belong to what is usual, and only longer ones are episodes.
type latencyStretches struct {
	Number  float64 // forgotten at a fixed rate
	Longest float64 // s, shrinking at the same rate
	At      int64   // the last one, µs
}

const (
	stretchShort    = 60.0                     // s: a longer one is never usual
	stretchUsual    = 4.0                      // so many, and they are usual
	stretchTimes    = 1.5                      // of the longest an episode must last then
	stretchHalfLife = 7 * 86400 * microseconds // µs
)

// note remembers a stretch of so many seconds that ended at at.
func (s *latencyStretches) note(at int64, seconds float64) {
	if seconds > stretchShort {
		return
	}
	left := s.left(at)
	s.Number = s.Number*left + 1
	s.Longest = max(s.Longest*left, seconds)
	s.At = at
}

// least gives the seconds that a slow stretch must last to be an episode.
func (s *latencyStretches) least(at int64) float64 {
	if s.Number < stretchUsual {
		return 0
	}
	left := s.left(at)
	if s.Number*left < stretchUsual {
		return 0
	}
	return stretchTimes * s.Longest * left
}

// left is the part of the memory that is not forgotten.
func (s *latencyStretches) left(at int64) float64 {
	return math.Exp2(-float64(max(0, at-s.At)) / stretchHalfLife)
}
