package detector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

// comparedSite is a log of several partitions and what both stages make of it.
type comparedSite struct {
	program *Program
	engines []*Engine
	b       *Baselines
	offset  int64
}

func newComparedSite(t rapid.TB, rules string, partitions int) *comparedSite {
	s := &comparedSite{program: mustLoad(t, rules)}
	for i := range partitions {
		s.engines = append(s.engines, NewEngine(s.program, Options{Topic: "t", Partition: int32(i), Shards: 4}))
	}
	s.b = NewBaselines(s.program, BaselinesOptions{})
	return s
}

// see judges events, which are in the order of their times, and gives the verdicts.
func (s *comparedSite) see(t rapid.TB, events ...comparedEvent) []schemas.Verdict {
	var verdicts []schemas.Verdict
	for _, ev := range events {
		for i, e := range s.engines {
			if i != ev.client%len(s.engines) && ev.client != allPartitions {
				continue
			}
			s.offset++
			e.Observe(ev.Event, Record{Offset: s.offset, Time: ev.Time})
			e.Take()
			summaries, mark := e.TakeSummaries()
			for j := range summaries {
				if got := s.b.Merge(&summaries[j]); got != Merged {
					t.Fatalf("merging: %v", got)
				}
			}
			if mark != nil {
				mark.Partitions = len(s.engines)
				s.b.Mark(mark)
			}
		}
		s.b.Close(s.b.Complete(), nil)
		verdicts = append(verdicts, s.b.Take()...)
	}
	return verdicts
}

// end has time pass in all partitions.
func (s *comparedSite) end(t rapid.TB, at float64) []schemas.Verdict {
	return s.see(t, comparedEvent{timed(at, 9999, "/end", 1), allPartitions})
}

type comparedEvent struct {
	*schemas.Event
	client int
}

const allPartitions = -1

// searching is hours of clients that search: each some times in each hour, and one that
// does so much more in the hour that is named.
func searching(rng *rand.Rand, hours, clients, attack int) []comparedEvent {
	var events []comparedEvent
	send := func(hour, who, n int) {
		for range n {
			ev := timed(3600*(float64(hour)+rng.Float64()), who, fmt.Sprint("/search/", rng.IntN(3)), 20)
			ev.Route = []byte("/search/{id}")
			events = append(events, comparedEvent{ev, who})
		}
	}
	for hour := range hours {
		for who := range clients {
			send(hour, who, 1+int(-4*math.Log(1-rng.Float64())))
		}
		if hour == attack {
			send(hour, 5000, 1000)
		}
	}
	slices.SortStableFunc(events, func(a, b comparedEvent) int { return int(a.Time - b.Time) })
	return events
}

// briefly is what verdicts say, in short.
func briefly(verdicts []schemas.Verdict) []string {
	var all []string
	for _, v := range verdicts {
		all = append(all, fmt.Sprintf("%s %s %s of %s", v.RuleID, v.Phase, v.Subject, v.Endpoint))
	}
	return all
}

const outlierRules = `version: 1
lateness: 30s
rules:
  - {id: much, type: outlier, action: alert, remind: 30m, message: Slower., tags: [a]}
  - {id: quietly, type: outlier, sensitivity: low, mode: passive}
  - {id: errors, type: outlier, metric: errors}
  - {id: paths, type: outlier, metric: distinct_paths, sensitivity: high}
  - {id: cost, type: outlier, metric: cost}
  - {id: slow, type: latency}
`

// TestOutlierEpisode follows one attacker from its requests to the verdicts.
func TestOutlierEpisode(t *testing.T) {
	s := newComparedSite(t, outlierRules, 3)
	verdicts := s.see(t, searching(rand.New(rand.NewPCG(1, 2)), 6, 120, 3)...)
	verdicts = append(verdicts, s.end(t, 6.2*3600)...)
	who := client(5000).String()
	var open *schemas.Verdict
	for i := range verdicts {
		if v := &verdicts[i]; v.RuleID == "much" && v.Phase == schemas.PhaseOpen {
			open = v
		}
		if v := verdicts[i]; v.Subject != who || v.Endpoint != "GET /search/{id}" || v.Scope != schemas.ScopeIP || v.EpisodeID == "" || v.Trigger != nil || v.Threshold != nil || v.WindowS != 3600 {
			t.Errorf("%+v", v)
		}
		if v := verdicts[i]; (v.RuleID == "quietly") != (v.ActionTaken == schemas.TakenLoggedOnly) {
			t.Errorf("rule %s has %s", v.RuleID, v.ActionTaken)
		}
	}
	counts := map[string]int{}
	for _, v := range verdicts {
		counts[v.RuleID+" "+string(v.Phase)]++
	}
	want := map[string]int{"much open": 1, "much remind": 1, "much close": 1, "quietly open": 1, "quietly close": 1}
	if d := cmp.Diff(want, counts); d != "" {
		t.Fatalf("verdicts (-want +got):\n%s\n%q", d, briefly(verdicts))
	}
	if open.Action != schemas.ActionAlert || open.ActionTaken != "alert" || open.Message != "Slower." || len(open.Tags) != 1 || *open.Score < 0.5 || *open.Score > 1 || *open.Baseline < 10 || *open.Baseline > 40 || open.Count < 300 {
		t.Errorf("%+v", open)
	}
	for _, words := range []string{who + " made ", " requests of GET /search/{id} from 03:00 to 03:", " UTC; 99 % of its ", " peers made ", " at most, half of them ", "; in the hours before, 99 % of the clients made "} {
		if !strings.Contains(open.Details, words) {
			t.Errorf("%q does not say %q", open.Details, words)
		}
	}
	ids := map[string]bool{}
	for _, v := range verdicts {
		if v.RuleID == "much" && v.EpisodeID != open.EpisodeID {
			t.Errorf("%s is of another episode", v.Phase)
		}
		ids[v.VerdictID] = true
	}
	if len(ids) != len(verdicts) {
		t.Errorf("%d ids of %d verdicts", len(ids), len(verdicts))
	}
	for _, l := range s.b.Learned() {
		if l.Endpoint == "GET /search/{id}" && l.Peers != nil && l.Peers.Metric == MetricRequests && (l.Peers.Clients < 110 || l.Peers.Clients > 125 || l.Peers.P99 > 40) {
			t.Errorf("learned is %+v", l.Peers)
		}
	}
}

// Each metric finds what is its own.
func TestEachMetricHasItsOutliers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 2))
	events := searching(rng, 2, 120, -1)
	add := func(from float64, who, n int, change func(ev *schemas.Event, i int)) {
		for i := range n {
			ev := timed(3600*(from+0.5*rng.Float64()), who, "/search/1", 20)
			ev.Route = []byte("/search/{id}")
			change(ev, i)
			events = append(events, comparedEvent{ev, who})
		}
	}
	add(1.2, 6001, 40, func(ev *schemas.Event, _ int) { ev.Status = 500 })
	add(1.2, 6002, 49, func(ev *schemas.Event, i int) { ev.Path = fmt.Append(nil, "/search/", 100+i) })
	add(1.2, 6003, 30, func(ev *schemas.Event, _ int) { ev.LatencyMS = []byte("9000") })
	slices.SortStableFunc(events, func(a, b comparedEvent) int { return int(a.Time - b.Time) })
	s := newComparedSite(t, outlierRules, 2)
	got := briefly(slices.DeleteFunc(append(s.see(t, events...), s.end(t, 7300)...), func(v schemas.Verdict) bool { return v.Phase != schemas.PhaseOpen }))
	slices.Sort(got)
	const of = " of GET /search/{id}"
	want := []string{"cost open " + client(6003).String() + of, "errors open " + client(6001).String() + of, "paths open " + client(6002).String() + of}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What is found does not depend on how clients are spread over partitions, nor on whether
// all was encoded and restored in between.
func TestOutliersDoNotDependOnTheSpreadOrRestarts(t *testing.T) {
	events := searching(rand.New(rand.NewPCG(5, 6)), 4, 60, 2)
	run := func(partitions int, cuts ...int) []schemas.Verdict {
		s := newComparedSite(t, outlierRules, partitions)
		var verdicts []schemas.Verdict
		at := 0
		for _, cut := range append(cuts, len(events)) {
			verdicts = append(verdicts, s.see(t, events[at:cut]...)...)
			at = cut
			restored := NewBaselines(s.program, BaselinesOptions{})
			for shard := range s.b.Shards() {
				if err := restored.RestoreShard(s.b.AppendShard(nil, shard)); err != nil {
					t.Fatal(err)
				}
			}
			s.b = restored
		}
		return append(verdicts, s.end(t, 5*3600)...)
	}
	want := run(1)
	if len(want) == 0 {
		t.Fatal("nothing was found")
	}
	if d := cmp.Diff(want, run(1, 100, len(events)/2, len(events)*2/3, len(events)-10)); d != "" {
		t.Errorf("restored (-want +got):\n%s", d)
	}
	// The last bucket of each partition closes at other moments; what is in it does not change.
	if d := cmp.Diff(briefly(want), briefly(run(4, len(events)*2/3))); d != "" {
		t.Errorf("four partitions (-want +got):\n%s", d)
	}
}

// An outlier's rule that goes takes its episodes along.
func TestOutlierRuleThatGoes(t *testing.T) {
	s := newComparedSite(t, outlierRules, 1)
	events := searching(rand.New(rand.NewPCG(1, 2)), 4, 120, 3)
	s.see(t, events...)
	if n := s.b.Stats().Open; n != 2 {
		t.Fatalf("%d episodes are open", n)
	}
	s.b.Adopt(mustLoad(t, "version: 1\nrules: [{id: quietly, type: outlier, sensitivity: low, mode: passive}]"))
	if n := s.b.Stats().Open; n != 1 {
		t.Errorf("%d episodes are open", n)
	}
	s.b.Adopt(mustLoad(t, "version: 1\nrules: []"))
	if n := s.b.Stats(); n.Open != 0 || n.Endpoints != 0 || n.StateBytes != 0 {
		t.Errorf("left is %+v", n)
	}
}

// learnedOutliers gives the pieces of baselines that know outliers, and summaries that
// are not judged yet.
func learnedOutliers(t rapid.TB) (p *Program, pieces [][]byte) {
	s := newComparedSite(t, outlierRules, 1)
	s.b = NewBaselines(s.program, BaselinesOptions{Shards: 2})
	s.see(t, searching(rand.New(rand.NewPCG(1, 2)), 4, 60, 3)...)
	var open schemas.Peers
	open.Move(3, 5)
	open.Top(schemas.PeerTotal{Client: "203.0.113.1", Total: 70})
	for _, v := range s.program.Views() {
		if v.metric != "" {
			s.b.Merge(&schemas.Summary{Version: schemas.SummaryVersion, View: v.ID, Endpoint: "GET /search/{id}", Start: 1 << 35 / 10 * 10, Peers: &open})
		}
	}
	for shard := range s.b.Shards() {
		pieces = append(pieces, s.b.AppendShard(nil, shard))
	}
	return s.program, pieces
}

// takeOutliers restores a piece and goes on with it.
func takeOutliers(p *Program, piece []byte) error {
	b := NewBaselines(p, BaselinesOptions{})
	if err := b.RestoreShard(piece); err != nil {
		return err
	}
	b.Close(1<<36, nil)
	for _, v := range b.Take() {
		schemas.AppendVerdict(nil, &v)
	}
	b.Learned()
	b.AppendShard(nil, 0)
	return nil
}

// FuzzRestoreOutliers restores whatever bytes, and what it takes it must be able to work with.
func FuzzRestoreOutliers(f *testing.F) {
	p, pieces := learnedOutliers(f)
	for _, piece := range pieces {
		f.Add(piece)
	}
	f.Fuzz(func(_ *testing.T, data []byte) { _ = takeOutliers(p, data) })
}

// TestDamagedOutliers flips bits of pieces: an error or not, baselines go on.
func TestDamagedOutliers(t *testing.T) {
	p, pieces := learnedOutliers(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for i := range 2000 {
		piece := slices.Clone(pieces[i%len(pieces)])
		for range 1 + rnd.IntN(3) {
			piece[rnd.IntN(len(piece))] ^= 1 << rnd.IntN(8)
		}
		if takeOutliers(p, piece) != nil {
			refused++
		}
	}
	if refused == 0 || refused == 2000 {
		t.Errorf("%d of 2000 damaged pieces were refused", refused)
	}
}

// TestOutlierEndpointsAreBounded: endpoints that come once leave those alone that are in use.
func TestOutlierEndpointsAreBounded(t *testing.T) {
	const bound = 4 << 20
	p := mustLoad(t, "version: 1\nrules: [{id: much, type: outlier}]")
	b := NewBaselines(p, BaselinesOptions{MaxBytes: bound, Shards: 1})
	s := schemas.Summary{Version: schemas.SummaryVersion, View: p.Views()[0].ID}
	for i := range int64(2000) {
		at := monday + i*schemas.SummarySeconds
		for j := range 11 {
			s.Start, s.Endpoint, s.Peers = at, fmt.Sprint("GET /scan/", i, "/", j), &schemas.Peers{Moves: []schemas.PeerMove{{Bin: 1, Count: 1}}}
			if j == 10 {
				s.Endpoint = "GET /busy"
			}
			b.Merge(&s)
		}
		b.Mark(&schemas.SummaryMark{Version: schemas.SummaryVersion, Partitions: 1, Closed: at + 10, Traffic: []schemas.BucketTraffic{{Start: at, Requests: 1}}})
		b.Close(b.Complete(), nil)
		if n := b.Stats().StateBytes; n > bound {
			t.Fatalf("%d bytes", n)
		}
	}
	if !slices.ContainsFunc(b.Learned(), func(l LearnedEndpoint) bool { return l.Endpoint == "GET /busy" && l.Peers.Clients > 300 }) {
		t.Error("the endpoint in use was forgotten")
	}
}
