package detector

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

const peerRules = `version: 1
rules:
  - {id: requests, type: outlier}
  - {id: errors, type: outlier, metric: errors}
  - {id: paths, type: outlier, metric: distinct_paths}
  - {id: cost, type: outlier, metric: cost}
  - {id: many, type: usage, threshold: 1000, window: 1h, group_by: [subject, endpoint]}
`

// totals gives what a client has at the endpoint of an event, by metric. 0 where it has
// nothing.
func totals(e *Engine, ev *schemas.Event) map[Metric]float64 {
	got := map[Metric]float64{}
	for _, r := range e.program.rules {
		if r.Metric == "" {
			continue
		}
		var g glimpse
		e.look(ev, &g)
		var at located
		e.locate(&at, r.bundle, g.address, g.hash, ev, g.endpoint, ev.Time)
		if slot := at.shard.find(e.arena, at.key, r.bundle.index, at.hash); slot >= 0 {
			if rec := record(e.arena.at(at.shard.ref(slot))); rec.has(r.bit) {
				got[r.Metric] = float64(peerCell(rec[rec.cell(r.bit)]).total()) / r.Metric.traits().parts
			}
		}
	}
	return got
}

func wantTotals(t *testing.T, what string, e *Engine, ev *schemas.Event, requests, errors, paths, cost float64) {
	t.Helper()
	got := totals(e, ev)
	for m, want := range map[Metric]float64{MetricRequests: requests, MetricErrors: errors, MetricDistinctPaths: paths, MetricCost: cost} {
		off := 0.001
		if m == MetricDistinctPaths { // an estimate
			off = 1 + 0.15*want
		}
		if math.Abs(got[m]-want) > off {
			t.Errorf("%s: %s is %g, want %g", what, m, got[m], want)
		}
	}
}

func TestTotalsOfAnHour(t *testing.T) {
	e := NewEngine(mustLoad(t, peerRules), Options{Topic: "t", File: true})
	request := func(at int64, path string, status uint16, latency string) *schemas.Event {
		ev := hit(client(1), origin+at*second, path)
		ev.Status, ev.Route = status, []byte("/x/{id}")
		if latency != "" {
			ev.LatencyMS = []byte(latency)
		}
		return ev
	}
	i := 0
	see := func(ev *schemas.Event) *schemas.Event { observe(e, ev, i); i++; return ev }
	ev := see(request(10, "/x/1", 200, "1.5"))
	wantTotals(t, "one request", e, ev, 1, 0, 1, 1.5)
	see(request(11, "/x/1", 404, ""))
	see(request(12, "/x/2", 500, "1000"))
	wantTotals(t, "three requests", e, ev, 3, 2, 2, 1001.5)
	see(request(3599, "/x/3", 200, "-3"))
	wantTotals(t, "a latency that is none", e, ev, 4, 2, 3, 1001.5)
	see(request(3601, "/x/1", 403, "2"))
	wantTotals(t, "the next hour", e, ev, 1, 1, 1, 2)
	see(request(3590, "/x/9", 403, "7"))
	wantTotals(t, "a late event of the hour before", e, ev, 1, 1, 1, 2)
	other := request(3602, "/x/1", 200, "1")
	other.ClientIP = client(2)
	wantTotals(t, "another client", e, see(other), 1, 0, 1, 1)
	elsewhere := request(3603, "/x/1", 200, "1")
	elsewhere.Method = []byte("POST")
	wantTotals(t, "another endpoint", e, see(elsewhere), 1, 0, 1, 1)
	wantTotals(t, "the first client", e, ev, 1, 1, 1, 2)
}

// Totals are in snapshots, and go on under other rules that have the same.
func TestTotalsAreRestored(t *testing.T) {
	e := NewEngine(mustLoad(t, peerRules), Options{Topic: "t", Shards: 4, Seed: [2]uint64{1, 2}})
	hits := func(from, to int) (ev *schemas.Event) {
		for i := from; i < to; i++ {
			ev = hit(client(1), origin+int64(i)*second, fmt.Sprintf("/x/%d", i))
			ev.Status, ev.LatencyMS = 404, []byte("10")
			observe(e, ev, i)
		}
		return ev
	}
	ev := hits(0, 20)
	e = reborn(t, e, mustLoad(t, peerRules), 20)
	hits(20, 30)
	wantTotals(t, "restored", e, ev, 30, 30, 30, 300)
	other := mustLoad(t, `version: 1
rules:
  - {id: many, type: usage, threshold: 1000, window: 1h, group_by: [subject, endpoint]}
  - {id: new, type: outlier, metric: cost, sensitivity: low}
  - {id: cost, type: outlier, metric: cost}
  - {id: paths, type: outlier, metric: distinct_paths}
`)
	e = reborn(t, e, other, 30)
	hits(30, 40)
	wantTotals(t, "restored under other rules", e, ev, 0, 0, 40, 400)
	e.Adopt(40, mustLoad(t, peerRules))
	hits(40, 50)
	wantTotals(t, "the first rules again", e, ev, 10, 10, 50, 500)
}

// The sketch of paths is right for few, and nearly for many.
func TestPathSketch(t *testing.T) {
	var squares float64
	const sketches, paths = 200, 5000
	for k := range sketches {
		s, sum := make(pathSketch, pathWords), 0.0
		for i := range paths {
			var path [8]byte
			binary.LittleEndian.PutUint64(path[:], uint64(k*paths+i))
			sum += s.add(pathHash(path[:]))
			if s.add(pathHash(path[:])) != 0 {
				t.Fatal("a path counts twice")
			}
			if i == 9 && math.Abs(sum-10) > 3.5 {
				t.Errorf("%g of ten paths", sum)
			}
		}
		squares += (sum/paths - 1) * (sum/paths - 1)
	}
	if off := math.Sqrt(squares / sketches); off > 0.14 {
		t.Errorf("%d paths are counted to %.0f %%", paths, 100*off)
	}
	full := pathSketch{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}
	if full.add(0) != 0 {
		t.Error("a full sketch grows")
	}
}
