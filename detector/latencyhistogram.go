package detector

import (
	"math"

	"github.com/apiwarden/apiwarden/schemas"
)

// latencyHistogram counts requests by latency, forgetting: once it has as many as
// latencyRemembered, all counts are halved.
type latencyHistogram struct {
	Counts [schemas.LatencyBins]float32
	Total  float64
}

// What a histogram remembers, and how its limits are drawn.
const (
	latencyRemembered = 1000.0 // requests
	latencyTaught     = 5.0    // requests that a bucket can teach; where there are more, each counts for less
	latencyFew        = 100.0  // requests: below it, a bucket teaches all that are missing
	latencyKept       = 0.05   // of the memory is left when another is taken for usual

	farMargin     = 1.2 // times what 97 % stay under
	typicalMargin = 2.5 // times what half stay under
	latencyMargin = 2.0 // ms: what is slower by less is never slow
	slowShare     = 0.9 // of requests that are over a limit, in a fault
	usualShare    = 0.05
	usualUp       = 2.890371757896165   // ln(slowShare / usualShare)
	usualDown     = -2.2512917986064953 // ln((1 - slowShare) / (1 - usualShare))
	typicalTimes  = 2.5                 // as many over the limit as usual are still usual
	typicalMostly = 0.35                // of requests that are usually over the limit: more, and it says nothing
	typicalDisuse = -10.0
)

// learn counts the requests of a bucket.
func (h *latencyHistogram) learn(bins []schemas.BinCount) {
	requests := 0.0
	for _, b := range bins {
		requests += float64(b.Count)
	}
	if requests == 0 {
		return
	}
	taught := min(requests, max(latencyTaught, latencyFew-h.Total))
	weight := taught / requests
	for _, b := range bins {
		h.Counts[b.Bin] += float32(weight * float64(b.Count))
	}
	h.Total += taught
	if h.Total >= latencyRemembered {
		h.scale(0.5)
	}
}

// scale multiplies all counts.
func (h *latencyHistogram) scale(by float32) {
	h.Total = 0
	for i := range h.Counts {
		h.Counts[i] *= by
		h.Total += float64(h.Counts[i])
	}
}

// replace makes the histogram that of lately, and lets little of its own remain.
func (h *latencyHistogram) replace(lately *latencyHistogram) {
	if h.Total > 0 {
		h.scale(float32(latencyKept * min(1, lately.Total/h.Total)))
	}
	for i, c := range lately.Counts {
		h.Counts[i] += c
	}
	h.Total += lately.Total
}

// quantile gives what the share of requests took less than, in ms; 0 where there are none.
func (h *latencyHistogram) quantile(share float64) float64 {
	if h.Total == 0 {
		return 0
	}
	return schemas.LatencyEdge(h.bin(share))
}

// bin gives the bin up to which the share of requests lies, 0 where there are none.
func (h *latencyHistogram) bin(share float64) int {
	below, last := 0.0, 0
	for i, c := range &h.Counts {
		if c == 0 {
			continue
		}
		last = i
		if below += float64(c); below >= share*h.Total {
			break
		}
	}
	return last
}

// latencyLimits is what a request is compared with.
type latencyLimits struct {
	half         latencyHalf
	most         float64 // what 97 % stay under, ms
	far, typical latencyLimit
}

// latencyHalf is what follows from the bin in which the median lies, which seldom changes.
type latencyHalf struct {
	bin     int
	ms      float64 // what half stay under; 0: nothing is known
	over    float64 // ms: the typical limit
	overBin int     // in which that lies
	above   float64 // the part of that bin above the limit
}

func newLatencyHalf(bin int) latencyHalf {
	h := latencyHalf{bin: bin, ms: schemas.LatencyEdge(bin)}
	h.over = max(typicalMargin*h.ms, h.ms+latencyMargin)
	h.overBin = schemas.LatencyBinOf(h.over)
	low, high := schemas.LatencyEdge(h.overBin-1), schemas.LatencyEdge(h.overBin)
	h.above = max(0, (high-h.over)/(high-low))
	return h
}

// latencyLimit is a latency with what a request on either side of it adds to a sum: the
// logarithm of how much likelier it is in a fault.
type latencyLimit struct {
	Over    float64 // ms
	Share   float64 // of requests that are taken to be over it usually
	up      float64
	down    float64
	stretch bool // what is far over it adds more, for want of history
}

// limits draws the limits, in one pass over the bins: it is done for each bucket. before
// is what they were.
func (h *latencyHistogram) limits(before *latencyLimits) latencyLimits {
	l := latencyLimits{half: latencyHalf{overBin: schemas.LatencyBins}}
	below, over := 0.0, 0.0 // requests; over the typical limit
	for i, c := range &h.Counts {
		if c == 0 && i != l.half.overBin {
			continue
		}
		below += float64(c)
		if l.half.ms == 0 && below >= 0.5*h.Total {
			l.half = before.half
			if l.half.ms == 0 || l.half.bin != i {
				l.half = newLatencyHalf(i)
			}
		}
		if l.most == 0 && below >= 0.97*h.Total {
			l.most = schemas.LatencyEdge(i)
		}
		if i == l.half.overBin { // whose requests are taken to be spread evenly over it
			over = h.Total - below + float64(c)*l.half.above
		}
		if i >= l.half.overBin && l.most != 0 {
			break
		}
	}
	l.far = newLatencyLimit(max(farMargin*l.most, l.half.over), max(usualShare, 1/(h.Total+1)))
	l.far.stretch = l.far.Share > usualShare
	l.typical = newLatencyLimit(l.half.over, max(usualShare, typicalTimes*(over+1)/h.Total))
	if l.typical.Share > typicalMostly {
		l.typical.up, l.typical.down = 0, typicalDisuse
	}
	return l
}

func newLatencyLimit(over, share float64) latencyLimit {
	l := latencyLimit{Over: over, Share: share, up: usualUp, down: usualDown}
	if share != usualShare {
		l.up, l.down = math.Log(slowShare/share), math.Log((1-slowShare)/(1-share))
	}
	return l
}

func (l *latencyLimit) used() bool { return l.up > 0 }
