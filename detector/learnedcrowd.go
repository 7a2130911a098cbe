package detector

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"

	"github.com/apiwarden/apiwarden/schemas"
)

// judgePeers takes in 10 s of what the clients of an endpoint do, and judges how they
// stand beside each other.
func (c *closing) judgePeers(e *learnedEndpoint, s *schemas.Summary) {
	if s.Peers == nil || e.pool {
		return
	}
	start := c.end - schemas.SummarySeconds
	if e.crowd == nil {
		e.crowd = newCrowd(start)
	}
	e.crowd.add(start, s.Peers)
	for _, r := range e.view.outliers {
		for _, f := range e.crowd.outliers(r.Metric.traits(), peerTestOf(r.Sensitivity)) {
			if p := e.crowd.report(r, &f, start); p != nil {
				c.tellPeer(e, r, p, schemas.PhaseOpen, start, p.openSentence(e))
			}
		}
	}
}

// tendPeers reminds of an endpoint's outliers, in hours in which they are, and ends their episodes.
func (c *closing) tendPeers(e *learnedEndpoint) {
	if e.crowd == nil {
		return
	}
	for i := range e.crowd.cases {
		p := &e.crowd.cases[i]
		r := e.view.outlier(p.rule, p.version)
		switch lasted := c.end - p.opened; {
		case !p.open:
		case p.over(c.end):
			p.open = false
			c.tellPeer(e, r, p, schemas.PhaseClose, c.end, fmt.Sprintf("%s is like its peers again, %s after it %s within an hour at most",
				p.client, lasting(lasted), e.did(p.peak)))
		case p.hour == hourOf(c.end-1) && r.Remind > 0 && lasted*microseconds/r.Remind > p.reminders:
			p.reminders = lasted * microseconds / r.Remind
			c.tellPeer(e, r, p, schemas.PhaseRemind, c.end, fmt.Sprintf("%s is still unlike its peers after %s: it %s within an hour at most",
				p.client, lasting(lasted), e.did(p.peak)))
		}
	}
}

// tellPeer adds a verdict of an episode of an outlier, at an event time in s.
func (c *closing) tellPeer(e *learnedEndpoint, r *Rule, p *peerCase, phase schemas.Phase, at int64, sentence string) {
	v := c.verdict(e, r, phase, at*microseconds, sentence)
	score, usual := p.finding.score(), p.finding.usual()
	v.Scope, v.Subject = schemas.ScopeIP, p.client
	if strings.Contains(p.client, "/") {
		v.Scope = schemas.ScopeRange
	}
	v.Count, v.WindowS, v.Score, v.Baseline = p.finding.behind, schemas.PeerSeconds, &score, &usual
	v.EpisodeID, v.VerdictID = p.id(e, "", 0), p.id(e, phase, p.reminders)
	v.Evidence.FromTime = schemas.Micros(hourOf(p.opened) * microseconds)
	c.found = append(c.found, found{verdict: v, end: c.end, view: e.view.id})
}

// id is 128 bits of a SHA-256 over what makes an episode, or a verdict of it, the one it
// is. Reminders are numbered.
func (p *peerCase) id(e *learnedEndpoint, phase schemas.Phase, number int64) string {
	if phase != schemas.PhaseRemind {
		number = 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %d %s %d", p.rule, p.version, e.key, p.client, p.opened, phase, number))
	return hex.EncodeToString(sum[:16])
}

func (p *peerCase) openSentence(e *learnedEndpoint) string {
	f, m := &p.finding, e.view.metric.traits()
	s := fmt.Sprintf("%s %s from %s to %s UTC", p.client, e.did(f.total), timeOfDay(hourOf(p.opened)), timeOfDay(p.opened+schemas.SummarySeconds))
	if f.peers > 0 {
		s += fmt.Sprintf("; 99 %% of its %d peers %s %s at most, half of them %s", f.peers, m.verb, m.below(f.most), m.below(f.half))
	}
	if f.hours > 0 {
		s += fmt.Sprintf("; in the hours before, 99 %% of the clients %s %s at most", m.verb, m.below(f.before))
	}
	return s
}

// timeOfDay writes the hour and minute of a time in s.
func timeOfDay(s int64) string { return schemas.Micros(s * microseconds).Time().Format("15:04") }

// did says what a client with a total did.
func (e *learnedEndpoint) did(total float64) string {
	m := e.view.metric.traits()
	return m.verb + " " + m.amount(math.Floor(total)) + m.of + e.key
}

// amount writes a total for people.
func (m *metricTraits) amount(total float64) string {
	if m.metric == MetricCost {
		return threeDigits(total/1e3) + " s"
	}
	return threeDigits(total)
}

// below writes the largest total that is less, for people.
func (m *metricTraits) below(edge float64) string {
	if m.metric == MetricCost {
		return m.amount(edge)
	}
	return m.amount(math.Ceil(edge) - 1)
}

// outlier gives the rule of an episode, nil if there is none any more.
func (v *learnedView) outlier(id, version string) *Rule {
	i := slices.IndexFunc(v.outliers, func(r *Rule) bool { return r.ID == id && r.Version == version })
	if i < 0 {
		return nil
	}
	return v.outliers[i]
}

// adopt drops what was reported by rules that are gone.
func (c *crowd) adopt(v *learnedView) {
	c.cases = slices.DeleteFunc(c.cases, func(p peerCase) bool { return v.outlier(p.rule, p.version) == nil })
}

// bytes is what the crowd takes, about.
func (c *crowd) bytes() int64 {
	const client = 40
	return int64(unsafe.Sizeof(*c)) + int64(cap(c.tops))*(int64(unsafe.Sizeof(schemas.PeerTotal{}))+client) +
		int64(cap(c.cases))*(int64(unsafe.Sizeof(peerCase{}))+client)
}

// LearnedPeers is how the clients of an endpoint stand beside each other, by what each
// has done within an hour.
type LearnedPeers struct {
	Metric  Metric  `json:"metric"`
	Clients float64 `json:"clients"` // an hour
	P50     float64 `json:"p50"`     // of their totals, at most
	P99     float64 `json:"p99"`
	Hours   float64 `json:"hours"` // behind this, those long ago counting less
}

func (c *crowd) learned(m Metric) *LearnedPeers {
	n := c.past.clients()
	return &LearnedPeers{
		Metric: m, Clients: n / max(1, c.hours), Hours: c.hours,
		P50: schemas.PeerEdge(c.past.above(n / 2)), P99: schemas.PeerEdge(c.past.above(n * peerShare)),
	}
}

// learnedOpen lists the episodes of outliers that go on.
func (c *crowd) learnedOpen(e *learnedEndpoint) []LearnedOpen {
	var all []LearnedOpen
	for i := range c.cases {
		if p := &c.cases[i]; p.open {
			all = append(all, LearnedOpen{
				ID: p.id(e, "", 0), Rule: p.rule, Since: schemas.Micros(p.opened * microseconds), Of: string(e.view.metric) + " of " + p.client,
				Usual: p.finding.usual(), Now: p.peak, Peak: p.peak, Unit: "an hour",
			})
		}
	}
	return all
}
