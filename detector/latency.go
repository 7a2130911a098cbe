package detector

import (
	"math"

	"github.com/apiwarden/apiwarden/schemas"
)

// Latency judges the latency of one endpoint, by its requests: how many of those that are
// looked at one by one took longer than nearly all did before. It learns from the summaries
// of 10 s, looks at nothing ahead, and has the same parameters whatever the endpoint. The
// zero value is an endpoint of which nothing is known yet. docs/BASELINES.md has the
// reasons and the figures.
//
// What has gone slow is an episode: it is opened, and later closed or, if it lasts, taken
// for what is usual from then on.
//
// A Latency has no pointers and is at most 2 KiB; a copy of it is an endpoint of its own.
// One goroutine at a time may use it.
type Latency struct {
	state  latencyState
	limits latencyLimits // of state.Usual
}

// latencyState is all that is known of an endpoint. It is encoded field by field
// (latencystate.go), so that a change of its shape needs another latencyVersion.
type latencyState struct {
	Usual   latencyHistogram // of what is taken for usual
	Lately  latencyHistogram // since the episode was opened
	Far     latencyRise      // of requests over nearly all that is usual
	Typical latencyRise      // of requests over a multiple of half of them

	Phase    latencyPhase
	Score    float32 // of the episode
	Opened   int64   // the episode, µs
	Began    int64   // the slow stretch, µs
	LastOver int64   // the request that was last over a limit, µs
	Quiet    int64   // the first request from which on an open episode is as good as over, µs; 0: it is not
	Newest   int64   // the request that was last looked at, µs
	Short    latencyStretches

	Looked uint64                 // requests that were looked at
	Recent [latencyRecent]float32 // the last of them, ms
}

// latencyPhase is where an endpoint is between two episodes. A stretch is slow from when a
// sum has reached its threshold, and an episode once that has lasted long enough.
type latencyPhase uint8

const (
	latencyCalm latencyPhase = iota
	latencySlow
	latencyOpen
)

// The parameters, the same for all endpoints. docs/BASELINES.md tells how they were chosen.
const (
	latencyColdStart = 5 // requests that were learned, before any is judged

	farThreshold     = 8.0 // of the sum, at normal sensitivity
	farMost          = 9.2
	farSeconds       = 16.0 // since the sum left 0
	typicalThreshold = 10.0
	typicalMost      = 11.5
	typicalSeconds   = 20.0
	lowFactor        = 1.5 // of all of these
	highFactor       = 0.75

	learnedBelow   = 4.0                    // of the sum of requests that are far: else they may be a fault
	latencyQuiet   = 30 * microseconds      // that an episode must be as good as over, before it is
	latencyLasting = 30 * 60 * microseconds // µs: an episode that lasts longer is the new usual
	latencyLapse   = 30 * 60 * microseconds // µs: requests that are farther apart say nothing together
	latencyRecent  = 16                     // requests that a finding can tell of
	microseconds   = 1_000_000              // in a second
)

// Observe judges the requests of a bucket by what was learned from earlier ones, and then
// learns it. Buckets come in the order of time, merged over all partitions; those without
// requests may be left out. What it finds is in the order of time, and mostly nothing. It
// takes some 100 ns for each piece of evidence.
func (l *Latency) Observe(s *schemas.Summary, sensitivity Sensitivity) []LatencyFinding {
	st := &l.state
	factor := sensitivity.factor()
	var found []LatencyFinding
	for i := range s.Evidence {
		e := &s.Evidence[i]
		if !(e.Latency >= 0 && e.Latency <= math.MaxFloat32) {
			continue
		}
		if f, lapsed := l.Lapse(e.Time); lapsed {
			found = append(found, f)
		}
		st.Newest = e.Time
		if st.Usual.Total < latencyColdStart {
			continue
		}
		if f := l.judge(e, factor); f.Kind != LatencyNothing {
			found = append(found, f)
		}
	}
	switch {
	case st.Phase == latencyOpen:
		st.Lately.learn(s.Latency)
	case st.Far.Sum < learnedBelow && len(s.Latency) > 0:
		st.Usual.learn(s.Latency)
		l.limits = st.Usual.limits(&l.limits)
	}
	return found
}

// Lapse closes the episode where no request has been looked at for half an hour before at
// (µs of event time): nobody knows how slow the endpoint would be. It is for endpoints
// that have gone silent; Observe does it by itself.
func (l *Latency) Lapse(at int64) (f LatencyFinding, lapsed bool) {
	st := &l.state
	if at-st.Newest <= latencyLapse {
		return LatencyFinding{}, false
	}
	open := st.Phase == latencyOpen
	if open {
		f = l.describe(LatencyLapsed, st.Newest+latencyLapse)
	}
	st.settle()
	return f, open
}

// judge looks at one request.
func (l *Latency) judge(e *schemas.LatencyEvidence, factor float64) LatencyFinding {
	st, far, typical := &l.state, &l.limits.far, &l.limits.typical
	st.Recent[st.Looked%latencyRecent] = float32(e.Latency)
	st.Looked++
	st.Far.take(e, far, farMost*factor)
	st.Typical.take(e, typical, typicalMost*factor)
	if e.Latency > far.Over || typical.used() && e.Latency > typical.Over {
		st.LastOver = e.Time
	}

	farHigh, typicalHigh := st.Far.Sum >= farThreshold*factor, st.Typical.Sum >= typicalThreshold*factor
	if st.Phase == latencyCalm {
		if !farHigh && !typicalHigh {
			return LatencyFinding{}
		}
		st.Phase, st.Began = latencySlow, st.Typical.Since
		if farHigh {
			st.Began = st.Far.Since
		}
	}
	low := st.Far.Sum <= farThreshold/2*factor && st.Typical.Sum <= typicalThreshold/2*factor
	if st.Phase == latencySlow {
		if low {
			st.endStretch()
			return LatencyFinding{}
		}
		least := st.Short.least(e.Time)
		if farHigh && st.Far.lasted(e.Time) >= max(farSeconds*factor, least) ||
			typicalHigh && st.Typical.lasted(e.Time) >= max(typicalSeconds*factor, least) {
			return l.open(e.Time)
		}
		return LatencyFinding{}
	}
	switch {
	case !low:
		st.Quiet = 0
	case st.Quiet == 0:
		st.Quiet = e.Time
	case e.Time-st.Quiet >= latencyQuiet:
		f := l.describe(LatencyClosed, e.Time)
		st.endStretch()
		return f
	}
	if e.Time-st.Opened > latencyLasting {
		return l.relearn(e.Time)
	}
	return LatencyFinding{}
}

// open begins an episode.
func (l *Latency) open(at int64) LatencyFinding {
	st := &l.state
	st.Phase, st.Opened, st.Lately = latencyOpen, at, latencyHistogram{}
	f := l.describe(LatencyOpened, at)
	st.Score = float32(f.Score)
	return f
}

// endStretch ends a slow stretch, whether it has become an episode or not.
func (st *latencyState) endStretch() {
	st.Short.note(st.LastOver, float64(st.LastOver-st.Began)/microseconds)
	st.settle()
}

// relearn takes what was seen in the episode for usual, and ends it.
func (l *Latency) relearn(at int64) LatencyFinding {
	st := &l.state
	st.Usual.replace(&st.Lately)
	l.limits = st.Usual.limits(&l.limits)
	f := l.describe(LatencyRelearned, at)
	st.settle()
	return f
}

// settle makes the endpoint calm: another episode has to rise from nothing.
func (st *latencyState) settle() {
	st.Phase, st.Quiet, st.Far, st.Typical = latencyCalm, 0, latencyRise{}, latencyRise{}
}

func (s Sensitivity) factor() float64 {
	switch s {
	case SensitivityLow:
		return lowFactor
	case SensitivityHigh:
		return highFactor
	}
	return 1
}
