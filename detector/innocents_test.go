package detector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// innocent is an endpoint on which nothing happens that anybody needs to know of.
type innocent struct {
	name      string
	mean      float64 // requests in five minutes
	depth     float64 // of the night, 0..1
	phase     float64 // hours
	weekend   float64 // part of other days
	sigma     float64 // of noise that lasts
	perClient float64 // requests
	bursts    float64 // by one client, a day
	shares    [5]float64
	flutter   float64 // of the shares, relative

	rng    *rand.Rand
	drift  float64
	burst  float64
	left   int
	failed bool // the burst fails
}

// drawInnocents draws so many, of all sizes: from less than a request in five minutes to ten a second.
func drawInnocents(n int, seed uint64) []*innocent {
	rng := rand.New(rand.NewPCG(seed, 1))
	all := make([]*innocent, n)
	for i := range all {
		all[i] = &innocent{
			name: fmt.Sprintf("GET /e%03d", i), mean: math.Exp(rng.Float64()*9 - 1), depth: 0.95 * rng.Float64(), phase: 24 * rng.Float64(),
			weekend: 0.3 + 0.9*rng.Float64(), sigma: 0.02 + 0.25*rng.Float64()*rng.Float64(), perClient: 1 + 20*rng.Float64(), bursts: 0.4 * rng.Float64(),
			shares:  [5]float64{2: rng.Float64() * rng.Float64() * 0.4, 3: rng.Float64() * rng.Float64() * 0.15, 4: rng.Float64() * rng.Float64() * 0.02},
			flutter: 0.3 * rng.Float64(), rng: rand.New(rand.NewPCG(seed, uint64(i)+2)),
		}
	}
	return all
}

func poisson(rng *rand.Rand, mean float64) int64 {
	if mean > 50 {
		return int64(max(0, math.Round(mean+math.Sqrt(mean)*rng.NormFloat64())))
	}
	l, k, p := math.Exp(-mean), int64(0), 1.
	for {
		if p *= rng.Float64(); p <= l {
			return k
		}
		k++
	}
}

// sum gives its five minutes that begin at start. by changes what is usual of them.
func (x *innocent) sum(start int64, by change) *schemas.Summary {
	hour := float64(start%86400)/3600 + x.phase
	day := start / 86400 % 7 // 0 is a Thursday
	level := x.mean * (1 - x.depth*(0.5+0.5*math.Cos(2*math.Pi*hour/24)))
	if day == 2 || day == 3 {
		level *= x.weekend
	}
	x.drift = 0.9*x.drift + math.Sqrt(1-0.81)*x.rng.NormFloat64()
	level *= math.Exp(x.sigma*x.drift) * by.requests
	n := poisson(x.rng, level)
	clients := min(n, poisson(x.rng, by.clients*level/x.perClient)+1)
	s := &schemas.Summary{Start: start, Endpoint: x.name, Version: schemas.SummaryVersion}
	for c := range s.Classes {
		share := x.shares[c] * math.Exp(x.flutter*x.rng.NormFloat64())
		if c == 4 {
			share += by.errors
		}
		s.Classes[c] = min(poisson(x.rng, share*float64(n)), n)
	}
	if x.left == 0 && x.rng.Float64() < x.bursts/288 {
		x.left, x.burst, x.failed = 1+x.rng.IntN(3), x.mean*math.Exp(1.2*x.rng.NormFloat64()-0.5), x.rng.Float64() < 0.3
	}
	if x.left > 0 {
		x.left--
		more := poisson(x.rng, x.burst)
		n += more
		clients++
		if x.failed {
			s.Classes[3] += more / 2
		}
	}
	s.Requests = n
	s.Classes[1] = max(0, n-s.Classes[2]-s.Classes[3]-s.Classes[4])
	if n == 0 {
		return nil
	}
	// so many clients, by so many hashes
	for i := int64(0); i < min(clients, 3000); i++ {
		s.AddClient(x.rng.Uint32())
	}
	if clients > 3000 {
		for i := range s.Clients {
			s.Clients[i] = uint32(float64(s.Clients[i]) * 3000 / float64(clients))
		}
	}
	return s
}

type change struct{ requests, clients, errors float64 }

var unchanged = change{requests: 1, clients: 1}

const sensitiveRules = `version: 1
rules:
  - {id: rate, type: rate, action: alert, sensitivity: %[1]s}
  - {id: status, type: status_mix, action: alert, sensitivity: %[1]s}
`

// innocentTrial is what is found in a week or more of innocents.
type innocentTrial struct {
	alarms  map[string]int  // opened, by rule
	hits    map[string]bool // endpoints of which something was found in the last day, at the time of the change and three periods after it
	watched map[string]bool // endpoints that were judged by themselves, and changed
}

// tryInnocents lets innocents be for so many days. On the last one, those with even numbers are
// changed for so many periods from half past twelve.
func tryInnocents(t *testing.T, n int, word string, days int, seed uint64, periods int, by change) innocentTrial {
	l := newLearnedSite(t, fmt.Sprintf(sensitiveRules, word), BaselinesOptions{})
	l.at += int64(seed%7) * 86400
	xs := drawInnocents(n, seed)
	r := innocentTrial{map[string]int{}, map[string]bool{}, map[string]bool{}}
	changes := (days-1)*perDay + 150
	for i := range days * perDay {
		if i == changes {
			for _, e := range l.b.Learned() {
				r.watched[e.Endpoint] = !e.Pooled && !e.Pool
			}
		}
		for j, x := range xs {
			is := unchanged
			if j%2 == 0 && i >= changes && i < changes+periods {
				is = by
			}
			if s := x.sum(l.at, is); s != nil {
				s.View = l.view
				l.b.Merge(s)
			}
			if j%2 != 0 {
				delete(r.watched, x.name)
			}
		}
		for _, v := range l.pass(map[string]answers{"GET /always": {ok: 100}}) {
			if v.Phase == schemas.PhaseOpen {
				r.alarms[v.RuleID]++
				if i >= changes && i < changes+periods+3 && r.watched[v.Endpoint] {
					r.hits[v.Endpoint] = true
				}
			}
		}
	}
	for name, is := range r.watched {
		if !is {
			delete(r.watched, name)
		}
	}
	return r
}

// TestInnocents: in their first week, with nights, weekends, clients that ask a lot for a
// while and sometimes are denied, at most one verdict for 100 days of an endpoint. More
// sensitive rules may say more.
func TestInnocents(t *testing.T) {
	for word, most := range map[string]float64{"low": 1, "normal": 1, "high": 15} {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			alarms := tryInnocents(t, 100, word, 7, 1, 0, unchanged).alarms
			if got := float64(alarms["rate"]+alarms["status"]) / 7; got > most {
				t.Errorf("%.2f verdicts for 100 days of an endpoint, want at most %g: %v", got, most, alarms)
			}
		})
	}
}

// TestInnocentsThatChange: what has to be found on such endpoints, by normal rules, after a
// week. Where chance alone or what one client did before is as much, it is not.
func TestInnocentsThatChange(t *testing.T) {
	for _, c := range []struct {
		name    string
		periods int
		by      change
		least   float64 // share of the endpoints
	}{
		{"silence", 6, change{}, 0.6},
		{"three times as many requests", 6, change{3, 1, 0}, 0.5},
		{"ten times as many", 3, change{10, 1, 0}, 0.8},
		{"a fifth fails", 2, change{1, 1, 0.2}, 0.7},
		{"one in twenty fails", 6, change{1, 1, 0.05}, 0.4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := tryInnocents(t, 60, "normal", 10, 1, c.periods, c.by)
			t.Logf("found %d of %d", len(r.hits), len(r.watched))
			if got := float64(len(r.hits)) / float64(len(r.watched)); got < c.least {
				t.Errorf("found on %.2f of the endpoints, want %g", got, c.least)
			}
		})
	}
}
