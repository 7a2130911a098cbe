package detector

import (
	"math"

	"github.com/apiwarden/apiwarden/schemas"
)

// peerFinding is a client that is an outlier among the clients of an endpoint.
type peerFinding struct {
	client string
	total  float64
	limit  float64 // from which on it is one
	peers  int64   // others in this hour
	half   float64 // they have at most so much, or half of them
	most   float64 // 99 % of them
	before float64 // 99 % of the clients of the hours before
	hours  float64 // that are known
	behind int64   // clients of all these hours, each counted once an hour
}

// score is 0.5 for a client at the limit, and 1 far beyond.
func (f *peerFinding) score() float64 { return 1 - f.limit/f.total/2 }

// usual is what 99 % of the clients have, at most.
func (f *peerFinding) usual() float64 { return max(f.most, f.before) }

// peerTest is what the word after sensitivity stands for.
type peerTest struct {
	factor float64 // times what 99 % of the others have
	chance float64 // in an hour, that any of them has so much
}

func peerTestOf(sensitivity string) peerTest {
	switch sensitivity {
	case "low":
		return peerTest{20, 1e-5}
	case "high":
		return peerTest{5, 5e-3}
	}
	return peerTest{10, 2e-4}
}

const (
	peerShare   = 0.01 // of the clients, that may have more than what is usual
	leastPeers  = 20
	outlierPart = 0.10 // of the clients may be outliers, at most
	peerSlack   = 0.5  // of the limit: who has so much while nothing is known is taken for known
)

// learning says whether no hour is known yet, so that nobody can be reported.
func (c *crowd) learning() bool { return c.hours == 0 }

// outliers gives the clients that are outliers in the hour so far, those with most first. While
// the crowd is learning these are the ones that nearly are.
//
// Each is compared with those that have less and are not known to have much (generalized ESD, Rosner, Technometrics 1983:
// several do not hide each other), in this hour and in the hours before. It is an outlier if it
// has a floor of the metric, a factor times what 99 % of the others have, and so much that
// the tail of what is known of them does not reach there but by a small chance. The third is
// for populations with crawlers and gateways in them: of 800 clients with a Pareto tail of
// 1.2 one has ten times what 99 % have, every other hour.
func (c *crowd) outliers(m *metricTraits, t peerTest) []peerFinding {
	slack := 1.0
	if c.learning() {
		slack, t = peerSlack, peerTestOf("high")
	}
	if len(c.tops) == 0 || c.tops[0].Total < slack*m.floor {
		return nil
	}
	others := c.now
	clients, before, usual := others.clients(), c.past.clients(), 0.0
	if clients-1 < leastPeers && (c.learning() || before < leastPeers*c.hours) {
		return nil
	}
	if before > 0 {
		usual = schemas.PeerEdge(c.past.above(before * peerShare))
	}
	var known [crowdTops]bool
	for i, top := range c.tops {
		if known[i] = c.knows(top.Client); known[i] {
			others[schemas.PeerBinOf(top.Total)]--
		}
	}
	var found []peerFinding
	outliers := 0
	for i, top := range c.tops {
		if top.Total < slack*m.floor || i > 0 && float64(i+1) > max(clients, before/max(c.hours, 1))*outlierPart {
			break
		}
		if !known[i] {
			others[schemas.PeerBinOf(top.Total)]--
		}
		f := peerFinding{client: top.Client, total: top.Total, before: usual, hours: c.hours}
		f.compare(&others, &c.past, m, t, slack)
		found = append(found, f)
		if f.total >= slack*f.limit {
			outliers = i + 1
		}
	}
	found = found[:outliers]
	for i := range found { // none of them is one of the others
		last := found[outliers-1]
		last.client, last.total = found[i].client, found[i].total
		found[i] = last
	}
	return found
}

// compare finds the limit beside others. Of what is hardly known, a client must have more.
func (f *peerFinding) compare(others, past *population, m *metricTraits, t peerTest, slack float64) {
	n := others.clients()
	f.peers = int64(math.Round(n))
	f.half, f.most = schemas.PeerEdge(others.above(n/2)), schemas.PeerEdge(others.above(n*peerShare))
	factor := t.factor
	if f.hours > 0 {
		factor *= 1 + 1/f.hours
	}
	f.limit = max(m.floor, factor*f.usual())
	if f.total < slack*f.limit {
		return
	}
	all := *past
	all.add(others, 1)
	tail := all.tail()
	f.behind = int64(math.Round(tail.clients))
	f.limit = max(f.limit, tail.reach(max(n, tail.clients/(f.hours+1)), t.chance))
}
