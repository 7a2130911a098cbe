package detector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// crowdTrial feeds a crowd hour by hour, with the totals of its clients.
type crowdTrial struct {
	*crowd
	rule *Rule
	hour int64
	rng  *rand.Rand
}

func newCrowdTrial(seed uint64) *crowdTrial {
	const start = 1_700_000_000 / schemas.PeerSeconds * schemas.PeerSeconds
	return &crowdTrial{
		crowd: newCrowd(start), hour: start, rng: rand.New(rand.NewPCG(seed, 1)),
		rule: &Rule{ID: "r", Version: "v", Metric: MetricRequests, Sensitivity: "normal"},
	}
}

// pass has an hour pass with the totals of clients whose names do not matter, and of some
// whose do. It gives those for whom episodes open.
func (c *crowdTrial) pass(clients []float64, named map[string]float64) []string {
	m := c.rule.Metric.traits()
	var p schemas.Peers
	for i, total := range clients {
		p.Move(schemas.PeerBinOf(total), 1)
		if total >= m.floor {
			p.Top(schemas.PeerTotal{Client: fmt.Sprintf("peer %d of %d", i, c.hour), Total: total})
		}
	}
	last := c.hour + schemas.PeerSeconds - schemas.SummarySeconds
	c.add(last, &p)
	for name, total := range named {
		c.add(last, &schemas.Peers{Moves: []schemas.PeerMove{{Bin: uint8(schemas.PeerBinOf(total)), Count: 1}}, Tops: []schemas.PeerTotal{{Client: name, Total: total}}})
	}
	c.hour += schemas.PeerSeconds
	var opened []string
	for _, f := range c.outliers(m, peerTestOf(c.rule.Sensitivity)) {
		if c.report(c.rule, &f, last) != nil {
			opened = append(opened, f.client)
		}
	}
	for i := range c.cases {
		if c.cases[i].over(c.hour) {
			c.cases[i].open = false
		}
	}
	return opened
}

func (c *crowdTrial) draw(n int, one func() float64) []float64 {
	totals := make([]float64, n)
	for i := range totals {
		totals[i] = one()
	}
	return totals
}

func (c *crowdTrial) geometric(mean float64) func() float64 {
	return func() float64 { return 1 + math.Floor(math.Log(1-c.rng.Float64())/math.Log(1-1/mean)) }
}

func (c *crowdTrial) lognormal(median, sigma float64) func() float64 {
	return func() float64 { return math.Ceil(median * math.Exp(sigma*c.rng.NormFloat64())) }
}

func (c *crowdTrial) pareto(alpha float64) func() float64 {
	return func() float64 { return math.Ceil(math.Pow(1-c.rng.Float64(), -1/alpha)) }
}

func wantOpened(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) || len(want) > 0 && got[0] != want[0] {
		t.Errorf("%s: reported are %q, want %q", what, got, want)
	}
}

// Who does 20 times what 99 % of the clients do is found, without a threshold, once two
// hours are known.
func TestTwentyTimesWhatOthersDoIsFound(t *testing.T) {
	for _, clients := range []int{100, 800, 5000} {
		for _, mean := range []float64{3, 20} {
			for hour := 2; hour < 30; hour++ {
				c := newCrowdTrial(uint64(hour))
				for range hour {
					wantOpened(t, "innocents", c.pass(c.draw(clients, c.geometric(mean)), nil))
				}
				q99 := math.Log(0.01) / math.Log(1-1/mean)
				wantOpened(t, fmt.Sprintf("%d clients, %g requests, hour %d", clients, mean, hour),
					c.pass(c.draw(clients, c.geometric(mean)), map[string]float64{"attacker": 20 * q99}), "attacker")
			}
		}
	}
}

// Where a few clients have very much, as crawlers and gateways do, nobody is reported for
// having very much: at most three in 100 days of an endpoint.
func TestHeavyTailsAreNoOutliers(t *testing.T) {
	for name, one := range map[string]func(c *crowdTrial) func() float64{
		"Pareto 1.2":      func(c *crowdTrial) func() float64 { return c.pareto(1.2) },
		"Pareto 2":        func(c *crowdTrial) func() float64 { return c.pareto(2) },
		"lognormal 1":     func(c *crowdTrial) func() float64 { return c.lognormal(8, 1) },
		"lognormal 2":     func(c *crowdTrial) func() float64 { return c.lognormal(4, 2) },
		"mostly no error": func(c *crowdTrial) func() float64 { return func() float64 { return max(0, c.pareto(1.5)()-8) } },
	} {
		for _, clients := range []int{30, 200, 800} {
			found, days := 0, 0
			for seed := range uint64(10) {
				c := newCrowdTrial(seed)
				for range 10 * 24 {
					found += len(c.pass(c.draw(clients, one(c)), nil))
				}
				days += 10
			}
			t.Logf("%s, %d clients: %d in %d days", name, clients, found, days)
			if 100*found > 3*days {
				t.Errorf("%s, %d clients: %d were reported in %d days", name, clients, found, days)
			}
		}
	}
}

// Attackers do not hide each other.
func TestOutliersDoNotHideEachOther(t *testing.T) {
	named := map[string]float64{}
	for i := range 30 {
		named[fmt.Sprintf("attacker %02d", i)] = 500 + float64(i)
	}
	among := func(clients int) []string {
		c := newCrowdTrial(1)
		for range 3 {
			c.pass(c.draw(clients, c.geometric(3)), nil)
		}
		return c.pass(c.draw(clients, c.geometric(3)), named)
	}
	if opened := among(800); len(opened) != 30 || opened[0] != "attacker 29" {
		t.Errorf("%d of 30 are reported: %q", len(opened), opened)
	}
	wantOpened(t, "a tenth of all are no outliers any more", among(200))
}

func TestTooFewOthersOrTooLittle(t *testing.T) {
	after := func(hours, others int) *crowdTrial {
		c := newCrowdTrial(1)
		for range hours {
			c.pass(c.draw(others, func() float64 { return 2 }), nil)
		}
		return c
	}
	wantOpened(t, "19 others", after(5, 19).pass(after(5, 19).draw(19, func() float64 { return 2 }), map[string]float64{"x": 5000}))
	wantOpened(t, "20 others", after(5, 20).pass(after(5, 20).draw(20, func() float64 { return 2 }), map[string]float64{"x": 5000}), "x")
	wantOpened(t, "alone, where others were before", after(5, 20).pass(nil, map[string]float64{"x": 5000}), "x")
	wantOpened(t, "under the floor", after(5, 50).pass(nil, map[string]float64{"x": 49}))
	wantOpened(t, "at the floor", after(5, 50).pass(nil, map[string]float64{"x": 50}), "x")
}

// What is there from the beginning is known, and no part of what others are measured by.
func TestWhoIsThereFromTheBeginningIsKnown(t *testing.T) {
	c := newCrowdTrial(1)
	const hours = 24 * 14
	for hour := range hours {
		by := 1 + 0.5*math.Sin(float64(hour)/24*2*math.Pi) // of day and night
		wantOpened(t, "known", c.pass(c.draw(100, c.geometric(3)), map[string]float64{"monitor": 360 * by, "office": 100 * by, "crawler": 800 * by}))
	}
	wantOpened(t, "another", c.pass(c.draw(100, c.geometric(3)), map[string]float64{"monitor": 360, "attacker": 240, "crawler": 800}), "attacker")
	wantOpened(t, "more than ever", c.pass(c.draw(100, c.geometric(3)), map[string]float64{"crawler": 4000}), "crawler")
	if n := len(c.cases); n != 4 {
		t.Errorf("%d clients are remembered", n)
	}
}

func TestSensitivities(t *testing.T) {
	for sensitivity, times := range map[string]float64{"low": 20, "normal": 10, "high": 5} {
		for _, c := range []struct {
			times float64
			found bool
		}{{times * 0.9, false}, {times * 1.3, true}} {
			trial := newCrowdTrial(1)
			trial.rule.Sensitivity = sensitivity
			uniform := func() float64 { return 20 + math.Floor(10*trial.rng.Float64()) }
			for range 10 {
				trial.pass(trial.draw(500, uniform), nil)
			}
			if got := len(trial.pass(trial.draw(500, uniform), map[string]float64{"x": 30 * c.times})) > 0; got != c.found {
				t.Errorf("%s: %g times what others have is reported: %v", sensitivity, c.times, got)
			}
		}
	}
}

// Who is an outlier hour after hour is reported once, and who becomes one again only for
// much more, or after a week.
func TestAnOutlierIsReportedOnce(t *testing.T) {
	c := newCrowdTrial(1)
	pass := func(total float64) []string {
		if total == 0 {
			return c.pass(c.draw(500, c.geometric(4)), nil)
		}
		return c.pass(c.draw(500, c.geometric(4)), map[string]float64{"x": total})
	}
	pass(0)
	pass(0)
	pass(0)
	wantOpened(t, "the first hour", pass(600), "x")
	for range 5 {
		wantOpened(t, "the hours after", pass(700))
	}
	if c.openCases() != 1 {
		t.Errorf("%d episodes are open", c.openCases())
	}
	pass(0)
	if c.openCases() != 0 {
		t.Error("the episode goes on")
	}
	wantOpened(t, "again", pass(700))
	wantOpened(t, "much more", pass(2100), "x")
	for range 24 * 7 {
		wantOpened(t, "a quiet week", pass(0))
	}
	pass(0)
	pass(0)
	wantOpened(t, "after the week", pass(700), "x")
	if most := c.past.above(c.past.clients() * peerShare); schemas.PeerEdge(most) > 30 {
		t.Errorf("99 %% of the clients have %g at most: the outlier was learned over and over", schemas.PeerEdge(most))
	}
}

// Reported clients are remembered in bounded room.
func TestCasesAreBounded(t *testing.T) {
	c := newCrowdTrial(1)
	c.hours = 1
	for i := range 4 * crowdCases {
		if p := c.report(c.rule, &peerFinding{client: fmt.Sprint("x", i), total: 1e6}, c.hour); p == nil {
			t.Fatalf("there is no room for case %d", i)
		}
		if len(c.cases) > crowdCases {
			t.Fatalf("%d cases", len(c.cases))
		}
		c.cases[len(c.cases)-1].open = false
	}
	for i := range crowdCases {
		c.cases[i].open, c.cases[i].hour = true, c.hour
	}
	if c.report(c.rule, &peerFinding{client: "y", total: 1e9}, c.hour) != nil {
		t.Error("there is room where all episodes go on")
	}
}
