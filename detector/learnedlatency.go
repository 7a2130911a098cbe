package detector

import (
	"slices"
	"unsafe"

	"github.com/apiwarden/apiwarden/schemas"
)

// sensitivityCount is how many sensitivities there are: each judges the latency of an endpoint by a
// Latency of its own, since what is taken for a fault is not learned.
const sensitivityCount = len(tolerances)

// judgeLatency judges 10 s of an endpoint's latency.
func (c *closing) judgeLatency(e *learnedEndpoint, s *schemas.Summary) {
	if len(s.Evidence) == 0 {
		return
	}
	for i := range e.latency {
		rules, l := e.view.latency[i], e.latency[i]
		if len(rules) == 0 || l == nil && !c.shard.has(roomForLatency) {
			continue
		}
		if l == nil {
			l = new(Latency)
			e.latency[i] = l
		}
		for _, f := range l.Observe(s, Sensitivity(i)) {
			c.tellLatency(e, rules, &f)
		}
		if l.Open() {
			f := l.Episode()
			e.follow(rules, &f)
		}
	}
}

// lapse ends the episodes of latency of an endpoint that nobody asks any more.
func (c *closing) lapse(e *learnedEndpoint) {
	for i, l := range e.latency {
		if l == nil || !l.Open() {
			continue
		}
		if f, lapsed := l.Lapse(c.end * microseconds); lapsed {
			c.tellLatency(e, e.view.latency[i], &f)
		}
	}
}

// tellLatency has the rules say what was found.
func (c *closing) tellLatency(e *learnedEndpoint, rules []*Rule, f *LatencyFinding) {
	for _, r := range rules {
		i := e.episode(figureLatency, r)
		switch {
		case f.Kind == LatencyOpened && i < 0:
			p := episode{
				rule: r.ID, version: r.Version, figure: figureLatency, opened: c.end - schemas.SummarySeconds, seen: f.Time,
				usual: f.Half, now: f.Observed, peak: f.Observed, score: f.Score, samples: f.Samples,
			}
			c.tell(e, r, &p, schemas.PhaseOpen, f.Time, f.Sentence(p.of(e)))
			e.episodes = append(e.episodes, p)
		case f.Kind != LatencyOpened && i >= 0:
			p := &e.episodes[i]
			c.tell(e, r, p, schemas.PhaseClose, f.Time, f.Sentence(p.of(e)))
			if e.episodes = slices.Delete(e.episodes, i, i+1); len(e.episodes) == 0 {
				e.episodes = nil
			}
		}
	}
}

// follow has open episodes know how slow the endpoint is.
func (e *learnedEndpoint) follow(rules []*Rule, f *LatencyFinding) {
	for _, r := range rules {
		if i := e.episode(figureLatency, r); i >= 0 && f.Observed > 0 {
			e.episodes[i].follow(f.Observed)
		}
	}
}

// learnedLatency is what is known of the latency, by the first sensitivity that judges it.
func (e *learnedEndpoint) learnedLatency() *LearnedLatency {
	for _, l := range e.latency {
		if l != nil {
			return &LearnedLatency{P50: l.Usual(0.5), P95: l.Usual(0.95), P99: l.Usual(0.99), Samples: l.Samples()}
		}
	}
	return nil
}

// latencyBytes is what a Latency takes.
const latencyBytes = int64(unsafe.Sizeof(Latency{}))
