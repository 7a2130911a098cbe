package detector

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

// standing is how the clients of an endpoint stand, after all that was gathered.
func (l *gathered) standing(endpoint string) (p population, tops []schemas.PeerTotal) {
	for _, s := range l.summaries {
		if s.Endpoint == endpoint && s.Peers != nil {
			for _, m := range s.Peers.Moves {
				p[m.Bin] += float32(m.Count)
			}
			for _, t := range s.Peers.Tops {
				tops = schemas.TopPeers(tops, t, crowdTops)
			}
		}
	}
	return p, tops
}

func TestSummariesSayHowClientsStand(t *testing.T) {
	e := NewEngine(mustLoad(t, "version: 1\nlateness: 0s\nrules: [{id: a, type: outlier}, {id: b, type: outlier, sensitivity: low}, {id: c, type: outlier, metric: cost}]"), Options{Topic: "t"})
	var l gathered
	for i := range 600 {
		at := float64(i)
		l.observe(e, timed(at, 1, "/a", 2))
		if i%100 == 0 {
			l.observe(e, timed(at, 2, "/a", 2), timed(at, 3, "/b", 2))
		}
		if i == 0 {
			for other := range 20 {
				l.observe(e, timed(at, 10+other, "/a", 2))
			}
		}
	}
	l.observe(e, timed(1000, 9, "/end", 1))
	requests := e.program.views[0]
	if requests.metric != MetricRequests {
		requests = e.program.views[1]
	}
	if len(requests.Rules) != 2 || len(e.program.views) != 2 || len(e.program.rules) != 2 {
		t.Errorf("rules with the same metric do not share a view, or count twice")
	}
	ofView := func(id string) (of gathered) {
		for _, s := range l.summaries {
			if s.View == id {
				of.summaries = append(of.summaries, s)
			}
		}
		return of
	}
	of := ofView(requests.ID)
	got, tops := of.standing("GET /a")
	want := populationOf(600, 6)
	want[schemas.PeerBinOf(1)] = 20
	if got != *want {
		t.Errorf("the clients stand at %v, want %v", got, *want)
	}
	if len(tops) != 1 || tops[0].Client != client(1).String() || schemas.PeerBinOf(tops[0].Total) != schemas.PeerBinOf(600) {
		t.Errorf("most have %v", tops)
	}
	if n := len(of.summaries); n > 30 {
		t.Errorf("%d summaries: clients whose bin is the same were told of", n)
	}
	if got, _ := of.standing("GET /b"); got != *populationOf(6) {
		t.Errorf("at another endpoint they stand at %v", got)
	}
}

// How clients stand does not depend on how they are spread over partitions.
func TestComparingDoesNotDependOnTheSpread(t *testing.T) {
	p := mustLoad(t, `version: 1
lateness: 60s
rules:
  - {id: requests, type: outlier}
  - {id: paths, type: outlier, metric: distinct_paths, endpoint: "* /*"}
  - {id: errors, type: outlier, metric: errors, group_by: [service, endpoint]}
`)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{3, 30, 1000}).Draw(t, "events")
		crowd := rapid.SampledFrom([]int{1, 5, 100}).Draw(t, "crowd")
		rng := rapid.Uint64().Draw(t, "seed")
		draw := func(n int) int { rng = rng*6364136223846793005 + 1442695040888963407; return int(rng>>33) % n }
		type sent struct {
			*schemas.Event
			client int
		}
		events := make([]sent, n)
		for i := range events {
			who := 1 + draw(crowd)
			ev := timed(3570+float64(draw(600))/10, who, []string{"/a", "/b"}[draw(2)]+fmt.Sprint("/", draw(50)), 1)
			ev.Route, ev.Status = ev.Path[:2], []uint16{200, 404}[draw(2)]
			ev.Service = []byte([]string{"x", "y"}[draw(2)])
			events[i] = sent{ev, who}
		}
		collect := func(partitions int) map[string]schemas.Summary {
			merged := map[string]schemas.Summary{}
			for partition := range partitions {
				e := NewEngine(p, Options{Topic: "logs", Partition: int32(partition), Shards: 1 << (partition % 3), Seed: [2]uint64{uint64(partition) + 1, 2}})
				var l gathered
				for _, ev := range events {
					if ev.client%partitions == partition {
						l.observe(e, ev.Event)
					}
				}
				l.observe(e, timed(9000, 1, "/end", 1))
				for _, s := range l.summaries {
					key := fmt.Sprint(s.View, s.Start, s.Endpoint)
					s.Partition = 0
					if m, ok := merged[key]; ok {
						m.Merge(&s)
						s = m
					}
					merged[key] = s
				}
			}
			return merged
		}
		if d := cmp.Diff(collect(1), collect(8)); d != "" {
			t.Fatalf("(-one partition +eight):\n%s", d)
		}
	})
}

// Restored, summaries go on with how clients stood.
func TestRestoredSummariesKnowHowClientsStand(t *testing.T) {
	p := mustLoad(t, "version: 1\nlateness: 60s\nrules: [{id: a, type: outlier}, {id: b, type: latency}]")
	judge := func(e *Engine, from, to int) (l gathered) {
		for i := from; i < to; i++ {
			ev := timed(float64(i)/20, i%7*i%5, "/a", 2)
			e.Observe(ev, Record{Offset: int64(i), Time: ev.Time})
			l.take(e)
		}
		return l
	}
	const n, cut = 4000, 1500
	e := NewEngine(p, Options{Topic: "t", Shards: 2})
	judge(e, 0, cut)
	restored := NewEngine(p, Options{Topic: "t", Shards: 2})
	for shard := range e.SummaryShard() + 1 {
		var c ShardCopy
		e.Copy(shard, cut, true, &c)
		if err := restored.Restore(c.Append(nil), nil); err != nil {
			t.Fatal(err)
		}
	}
	restored.Begin(cut)
	want, got := judge(e, cut, n), judge(restored, cut, n)
	if d := cmp.Diff(want, got, cmp.AllowUnexported(gathered{})); d != "" {
		t.Errorf("(-undisturbed +restored):\n%s", d)
	}
	if _, tops := got.standing("GET /a"); len(tops) == 0 {
		t.Error("nobody has much")
	}
}

// Endpoints beyond the bound count together, and in no population.
func TestFoldedEndpointsAreNotCompared(t *testing.T) {
	e := NewEngine(mustLoad(t, "version: 1\nlateness: 0s\nrules: [{id: a, type: outlier}]"), Options{Topic: "t", Shards: 1, MaxEndpoints: 2})
	var l gathered
	for i := range 100 {
		l.observe(e, timed(float64(i), 1, fmt.Sprintf("/%c", 'a'+i%4), 1))
	}
	for _, endpoint := range []string{"GET /a", "GET /b", "GET /c", "GET /d", "*"} {
		if p, _ := l.standing(endpoint); (p.clients() > 0) != (endpoint < "GET /c" && endpoint != "*") {
			t.Errorf("%s has %g clients", endpoint, p.clients())
		}
	}
}

// TestComparingDoesNotAllocate: as long as nobody has so much that its name is told.
func TestComparingDoesNotAllocate(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
lateness: 5s
rules:
  - {id: requests, type: outlier}
  - {id: paths, type: outlier, metric: distinct_paths}
  - {id: cost, type: outlier, metric: cost}
`), Options{Topic: "logs", Shards: 1})
	var events []*schemas.Event
	for i := range 1200 {
		ev := timed(float64(i)/20*3, i, fmt.Sprint("/p", i%20), float64(i%50))
		events = append(events, ev)
	}
	n := 0
	round := func() { // three minutes
		for _, ev := range events {
			e.Observe(ev, Record{Time: ev.Time})
			if n++; n%64 == 0 {
				e.TakeSummaries()
			}
			ev.Time += 180 * second
		}
	}
	for range 60 {
		round()
	}
	if allocs := testing.AllocsPerRun(20, round); allocs > 120 { // a summary is made now and then, of the thousand that are used
		t.Errorf("%g allocations for %d events", allocs, len(events))
	}
}
