package detector

import (
	"fmt"
	"slices"
)

// LatencyKind says what happened to the latency of an endpoint.
type LatencyKind uint8

// What can happen.
const (
	LatencyNothing   LatencyKind = iota
	LatencyOpened                // an episode began
	LatencyClosed                // it ended
	LatencyRelearned             // it ended in being taken for usual: it had lasted too long
	LatencyLapsed                // it ended because nobody asked any more
)

// LatencyFinding is one event in the life of an episode. Latencies are in ms.
type LatencyFinding struct {
	Kind   LatencyKind
	Time   int64   // of the request by which it was found, µs; of an episode that lapsed half an hour after the last one
	Opened int64   // when the episode was opened, µs
	Score  float64 // 0..1, of the episode: the part of what slow requests took that was more than usual

	Limit    float64 // that requests are over
	Looked   int     // requests that were looked at one by one since they began to be, the last latencyRecent at most
	Over     int     // of those were over the limit
	Observed float64 // the median of these, 0 where there are none
	Half     float64 // what half of the requests usually take less than
	Most     float64 // what 97 % of them do
	Samples  int64   // requests behind what is usual; of a busy endpoint a sample
}

// Open says whether an episode is open.
func (l *Latency) Open() bool { return l.state.Phase == latencyOpen }

// Episode describes the open episode as it stands at the request that was last looked at,
// as if it were opened there; its kind is LatencyNothing where none is open.
func (l *Latency) Episode() LatencyFinding {
	if !l.Open() {
		return LatencyFinding{}
	}
	return l.describe(LatencyOpened, l.state.Newest)
}

// Usual gives what the share (0..1) of requests usually take less than, in ms, to the
// width of a bin; 0 where nothing is known.
func (l *Latency) Usual(share float64) float64 { return l.state.Usual.quantile(share) }

// Samples is how many requests are behind what is usual: about a thousand at most, and of
// a busy endpoint a sample.
func (l *Latency) Samples() int64 { return int64(l.state.Usual.Total + 0.5) }

// describe says what is known at a request.
func (l *Latency) describe(kind LatencyKind, at int64) LatencyFinding {
	st := &l.state
	rise, limit := &st.Far, &l.limits.far
	if st.Typical.Sum/typicalThreshold > st.Far.Sum/farThreshold {
		rise, limit = &st.Typical, &l.limits.typical
	}
	f := LatencyFinding{
		Kind: kind, Time: at, Opened: st.Opened, Score: float64(st.Score),
		Limit: limit.Over, Half: l.limits.half.ms, Most: l.limits.most, Samples: l.Samples(),
		Looked: int(min(rise.Looked, st.Looked, latencyRecent)),
	}
	var over [latencyRecent]float64
	for i := range uint64(f.Looked) {
		if ms := float64(st.Recent[(st.Looked-1-i)%latencyRecent]); ms > f.Limit {
			over[f.Over] = ms
			f.Over++
		}
	}
	if f.Over > 0 {
		slices.Sort(over[:f.Over])
		f.Observed = over[f.Over/2]
	}
	if kind == LatencyOpened && f.Observed > 0 {
		f.Score = 1 - f.Half/f.Observed
	}
	return f
}

// Sentence explains the finding to a person. of is what was measured, such as "latency of
// POST /pay". For LatencyNothing the sentence is empty.
func (f *LatencyFinding) Sentence(of string) string {
	switch f.Kind {
	case LatencyOpened:
		return fmt.Sprintf("%s: %d of the last %d requests looked at took over %s ms (typically %s ms); of the %d before, 97 %% took under %s ms and half under %s ms",
			of, f.Over, f.Looked, threeDigits(f.Limit), threeDigits(f.Observed), f.Samples, threeDigits(f.Most), threeDigits(f.Half))
	case LatencyClosed:
		return fmt.Sprintf("%s: as usual again after %s; 97 %% of requests usually take under %s ms and half under %s ms",
			of, f.lasted(), threeDigits(f.Most), threeDigits(f.Half))
	case LatencyLapsed:
		return fmt.Sprintf("%s: no request for half an hour, so nobody knows whether it is still slow; 97 %% of requests usually take under %s ms and half under %s ms",
			of, threeDigits(f.Most), threeDigits(f.Half))
	case LatencyRelearned:
		return fmt.Sprintf("%s: slow for %s, which is taken for usual from now on: 97 %% of the last %d requests took under %s ms and half under %s ms",
			of, f.lasted(), f.Samples, threeDigits(f.Most), threeDigits(f.Half))
	}
	return ""
}

func (f *LatencyFinding) lasted() string { return spanOfTime(float64(f.Time-f.Opened) / microseconds) }
