package detector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/schemas"
)

// TestEpisodeVerdicts follows one episode of each type of rule through its verdicts.
func TestEpisodeVerdicts(t *testing.T) {
	const rules = `version: 1
rules:
  - {id: errors, type: status_mix, action: alert, remind: 15m, message: m, tags: [a]}
  - {id: quietly, type: status_mix, mode: passive}
`
	l := newLearnedSite(t, rules, BaselinesOptions{})
	rng := rand.New(rand.NewPCG(1, 2))
	var got []schemas.Verdict
	for i := range 2*perDay + 12 {
		x := answers{ok: 500 + 20*rng.NormFloat64(), failed: 5}
		if i >= 2*perDay && i < 2*perDay+6 {
			x.ok, x.failed = 300, 200
		}
		got = append(got, l.pass(map[string]answers{"POST /pay": x})...)
	}
	var told []string
	for _, v := range got {
		told = append(told, fmt.Sprint(v.RuleID, " ", v.Phase, " ", v.ActionTaken, " ", v.EventTime, ": ", v.Details))
		if v.Scope != schemas.ScopeEndpoint || v.Subject != "POST /pay" || v.Endpoint != v.Subject || v.Threshold != nil || v.Trigger != nil || v.WindowS != 300 ||
			v.ExpiresAt != nil || v.Count != 565 || *v.Score < 0.5 || *v.Score > 1 || *v.Baseline < 0.9 || *v.Baseline > 1.1 || v.EpisodeID == "" || v.VerdictID == v.EpisodeID {
			t.Errorf("verdict %+v", v)
		}
	}
	want := []string{
		"errors open alert 2026-03-04T00:00:00.000000Z: share of server errors (5xx) of POST /pay: 40%; the last 47 hours (565 records) had 0.92 to 1.09%; 200 of 500 requests",
		"quietly open logged_only 2026-03-04T00:00:00.000000Z: share of server errors (5xx) of POST /pay: 40%; the last 47 hours (565 records) had 0.92 to 1.09%; 200 of 500 requests",
		"errors remind alert 2026-03-04T00:15:00.000000Z: share of server errors (5xx) of POST /pay, still unusual after 15m: 40%; before it was 0.991%",
		"errors remind alert 2026-03-04T00:30:00.000000Z: share of server errors (5xx) of POST /pay, still unusual after 30m: 40%; before it was 0.991%",
		"errors close alert 2026-03-04T00:45:00.000000Z: share of server errors (5xx) of POST /pay is as usual again after 45m: 0.942%, at most 40% meanwhile; before it was 0.991%",
		"quietly close logged_only 2026-03-04T00:45:00.000000Z: share of server errors (5xx) of POST /pay is as usual again after 45m: 0.942%, at most 40% meanwhile; before it was 0.991%",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	ids := map[string]bool{}
	for _, v := range got {
		ids[v.VerdictID] = true
	}
	if len(ids) != len(want) {
		t.Errorf("%d ids for %d verdicts", len(ids), len(want))
	}
}

// askedFor adds latencies around ms to ten seconds of an endpoint, two requests a second.
func askedFor(rng *rand.Rand, s *schemas.Summary, ms float64) {
	for i := range int64(20) {
		v := ms * math.Exp(0.3*rng.NormFloat64())
		s.Requests++
		s.Classes[1]++
		s.AddLatency(uint8(schemas.LatencyBinOf(v)), 1)
		s.AddEvidence(schemas.LatencyEvidence{Time: s.Start*microseconds + i*500_000, Latency: v, Hash: rng.Uint32()})
	}
}

// TestEpisodeOfLatency: a slow endpoint is told of within a minute, another that only has
// more to do is not; and an endpoint that is not asked any more while slow is closed.
func TestEpisodeOfLatency(t *testing.T) {
	p := mustLoad(t, "version: 1\nrules:\n  - {id: slow, type: latency, action: alert, remind: 5m}\n")
	b := NewBaselines(p, BaselinesOptions{})
	rng := rand.New(rand.NewPCG(1, 2))
	var got []string
	for i := range int64(400) {
		start := monday + i*schemas.SummarySeconds
		for _, name := range []string{"GET /slow", "GET /busy", "GET /leaves"} {
			s := schemas.Summary{Version: schemas.SummaryVersion, View: p.Views()[0].ID, Endpoint: name, Start: start}
			slow := i >= 100 && i < 160
			switch {
			case name == "GET /leaves" && i >= 110:
				continue
			case slow && name != "GET /busy":
				askedFor(rng, &s, 500)
			case slow:
				for range 10 {
					askedFor(rng, &s, 50)
				}
			default:
				askedFor(rng, &s, 50)
			}
			b.Merge(&s)
		}
		b.Mark(&schemas.SummaryMark{Version: schemas.SummaryVersion, Partitions: 1, Closed: start + 10, Traffic: []schemas.BucketTraffic{{Start: start, Requests: 60}}})
		b.Close(b.Complete(), &schemas.Position{Topic: "f", Offset: i})
		for _, v := range b.Take() {
			got = append(got, fmt.Sprint(i, " ", v.Phase, " ", v.Endpoint))
			t.Log(v.EventTime, v.Details)
			if v.WindowS != 10 || v.Trigger.Offset != i || int64(v.EventTime) > (start+10)*microseconds {
				t.Errorf("verdict %+v", v)
			}
		}
		if i == 130 {
			if open := b.Stats().Open; open != 2 {
				t.Errorf("%d episodes are open", open)
			}
		}
	}
	var short []string
	for _, g := range got {
		n, rest, _ := strings.Cut(g, " ")
		if rest == "open GET /slow" && n <= "106" || rest == "close GET /slow" {
			n = "soon"
		}
		if rest == "open GET /leaves" {
			n = "soon"
		}
		short = append(short, n+" "+rest)
	}
	want := []string{"soon open GET /leaves", "soon open GET /slow", "149 remind GET /leaves", "149 remind GET /slow", "soon close GET /slow"}
	if len(short) < len(want) || !cmp.Equal(want, short[:len(want)]) {
		t.Errorf("verdicts (-want +got):\n%s", cmp.Diff(want, short))
	}
	if last := short[len(short)-1]; !strings.HasSuffix(last, "close GET /leaves") {
		t.Errorf("the last verdict is %s", last)
	}
	for _, e := range b.Learned() {
		if e.Latency == nil || e.Latency.P50 < 40 || e.Latency.P50 > 65 || e.Latency.P99 < 80 || !e.Ready || e.Rate != nil {
			t.Errorf("learned of %s: %+v", e.Endpoint, e.Latency)
		}
	}
}

// TestEpisodesThatEnd: a number that is back is told apart from one that has become usual,
// and nobody is reminded of what is as usual already.
func TestEpisodesThatEnd(t *testing.T) {
	const change = 3 * perDay
	for _, c := range []struct {
		name    string
		periods int
		by      float64
		want    []string
	}{
		{"back", 6, 4, []string{
			"open requests of POST /pay: ",
			"remind requests of POST /pay, still unusual after 15m: 39",
			"remind requests of POST /pay, still unusual after 30m: 39",
			"close requests of POST /pay are as usual again after 45m: 1",
		}},
		{"it lasts", 3 * perDay, 4, []string{"open requests of POST /pay: ", "close requests of POST /pay are taken for usual from now on after "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLearnedSite(t, "version: 1\nrules:\n  - {id: rate, type: rate, action: alert, remind: 15m}\n", BaselinesOptions{})
			rng := rand.New(rand.NewPCG(1, 2))
			var got []string
			for i := range change + c.periods + 12 {
				x := answers{ok: 500 + 20*rng.NormFloat64()}
				if i >= change && i < change+c.periods {
					x.ok *= c.by
				}
				for _, v := range l.pass(map[string]answers{"POST /pay": x}) {
					if strings.HasPrefix(v.Details, "requests") {
						got = append(got, fmt.Sprint(v.Phase, " ", v.Details))
					}
				}
			}
			if len(got) > len(c.want) && c.periods > perDay {
				got = append(got[:1], got[len(got)-1]) // without reminders
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d verdicts, want %d", len(got), len(c.want))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("verdict %d is %q, want %q", i, got[i], want)
				}
			}
		})
	}
}
