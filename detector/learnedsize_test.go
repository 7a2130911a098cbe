package detector

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/schemas"
)

// sizedSite is a site of one endpoint, POST /x, told of in ten seconds at a time: two requests
// each, as large as usual, and those that are given.
type sizedSite struct {
	*learnedSite
	rng  *rand.Rand
	kind schemas.SizeKind
}

const largeRules = `version: 1
rules:
  - {id: large, type: size, action: alert, remind: 1h}
`

func newSizedSite(t testing.TB, rules string) *sizedSite {
	s := &sizedSite{learnedSite: newLearnedSite(t, rules, BaselinesOptions{}), rng: rand.New(rand.NewPCG(3, 5))}
	s.kind, _ = mustLoad(t, rules).Rules()[0].Metric.sizeKind()
	return s
}

// pass tells of ten seconds and gives the verdicts.
func (s *sizedSite) pass(usual float64, large ...int64) []schemas.Verdict {
	x := answers{ok: float64(2 + len(large))}.summary(s.view, "POST /x", s.at)
	x.Sizes = &schemas.Sizes{}
	add := func(i int, size int64, client byte) {
		x.Sizes[s.kind].Add(schemas.LargeEvent{Time: s.at*microseconds + int64(i), Size: size, Client: netip.AddrFrom4([4]byte{203, 0, 113, client})})
	}
	for i := range 2 {
		add(i, int64(usual*(0.5+s.rng.Float64()/2)), 1)
	}
	for i, size := range large {
		add(2+i, size, byte(7+i))
	}
	s.b.Merge(x)
	s.at += schemas.SummarySeconds
	s.b.Mark(&schemas.SummaryMark{Version: schemas.SummaryVersion, Partitions: 1, Closed: s.at, Traffic: []schemas.BucketTraffic{{Start: x.Start, Requests: x.Requests}}})
	s.b.Close(s.b.Complete(), nil)
	return s.b.Take()
}

// learn has nothing happen for some time.
func (s *sizedSite) learn(hours float64, usual float64) (found []schemas.Verdict) {
	for range int(hours * 360) {
		found = append(found, s.pass(usual)...)
	}
	return found
}

func phases(list []schemas.Verdict) string {
	var all []string
	for _, v := range list {
		all = append(all, string(v.Phase))
	}
	return strings.Join(all, " ")
}

// TestSizeVerdicts: what is far larger than nearly all is told of in the ten seconds in which
// it came, with who sent it; the episode ends when it is over.
func TestSizeVerdicts(t *testing.T) {
	s := newSizedSite(t, largeRules)
	if found := s.learn(48, 8100); len(found) > 0 {
		t.Fatalf("while it is learned: %s", found[0].Details)
	}
	at := s.at
	found := s.pass(8100, 1_200_000, 300_000, 9000)
	if len(found) != 1 {
		t.Fatalf("%d verdicts, want one", len(found))
	}
	v := found[0]
	if v.RuleType != "size" || v.Scope != schemas.ScopeEndpoint || v.Subject != "POST /x" || v.Phase != schemas.PhaseOpen || v.WindowS != 10 || v.Threshold != nil ||
		v.EventTime != schemas.Micros(at*microseconds+2) || *v.Score < 0.9 || *v.Score > 1 || *v.Baseline < 8000 || *v.Baseline > 8101 || v.Count < 32_000 || v.Count > 34_560 {
		t.Errorf("%+v", v)
	}
	want := fmt.Sprintf("203.0.113.7 sent a request of 1.2 MB to POST /x, and 203.0.113.8 one of 300 kB; of %d requests before, nearly all had at most 8.1 kB, and half at most ", v.Count)
	if !strings.HasPrefix(v.Details, want) {
		t.Errorf("details %q, want %q and so on", v.Details, want)
	}
	found = s.learn(1, 8100)
	if len(found) != 1 || found[0].Phase != schemas.PhaseClose || found[0].EpisodeID != v.EpisodeID || !strings.Contains(found[0].Details, "largest request of POST /x is as usual again after 20m: ") ||
		!strings.HasSuffix(found[0].Details, "at most 1.2 MB meanwhile; before it was 8.1 kB") {
		t.Errorf("at the end: %+v", found)
	}
	if l := s.b.Learned()[0]; len(l.Sizes) != 1 || l.Sizes[0].Metric != MetricRequest || l.Sizes[0].P9999 < 8000 || l.Sizes[0].P9999 > 8500 || l.Sizes[0].Samples < 30_000 {
		t.Errorf("what is shown: %+v", l.Sizes)
	}
}

// TestSizesThatLast: what lasts is told of once, reminded of, and learned.
func TestSizesThatLast(t *testing.T) {
	s := newSizedSite(t, largeRules)
	s.learn(48, 8100)
	found := s.learn(30, 810_000)
	if got := phases(found); got != "open"+strings.Repeat(" remind", 23)+" close" {
		t.Errorf("phases %s", got)
	}
	if last := found[len(found)-1]; !strings.Contains(last.Details, "taken for usual from now on after 1d") {
		t.Errorf("at the end: %s", last.Details)
	}
	if more := s.learn(200, 810_000); len(more) > 0 {
		t.Errorf("after that: %s", more[0].Details)
	}
}

// TestSizesThatComeAgain: a job that is new is told of on its first day alone.
func TestSizesThatComeAgain(t *testing.T) {
	s := newSizedSite(t, largeRules)
	s.learn(48, 8100)
	var found []schemas.Verdict
	for range 12 {
		found = append(found, s.pass(8100, 5_000_000, 4_000_000)...)
		found = append(found, s.learn(24, 8100)...)
	}
	if got := phases(found); got != "open close" {
		t.Errorf("phases %s", got)
	}
}

// TestGiantsDoNotHide: after a giant, what is a hundred times as large as nearly all is found as ever.
func TestGiantsDoNotHide(t *testing.T) {
	s := newSizedSite(t, largeRules)
	s.learn(26, 8100)
	giants := make([]int64, 30)
	for i := range giants {
		giants[i] = 1 << 40
	}
	found := s.pass(8100, giants...)
	found = append(found, s.learn(1, 8100)...)
	found = append(found, s.pass(8100, 810_000)...)
	if got := phases(found); got != "open close open" {
		t.Errorf("phases %s", got)
	}
}

// TestSizesThatAreNothing: what is not told of.
func TestSizesThatAreNothing(t *testing.T) {
	for _, c := range []struct {
		name, rule string
		hours      float64
		usual      float64
		large      int64
		found      bool
	}{
		{"on the first day", "{id: x, type: size}", 24, 8100, 8_100_000, false},
		{"below the floor", "{id: x, type: size}", 30, 50, 4096, false},
		{"above it", "{id: x, type: size}", 30, 50, 4097, true},
		{"a query below the floor", "{id: x, type: size, metric: query}", 30, 20, 512, false},
		{"a query above it", "{id: x, type: size, metric: query}", 30, 20, 513, true},
		{"an answer below the floor", "{id: x, type: size, metric: response}", 30, 2000, 256 << 10, false},
		{"an answer above it", "{id: x, type: size, metric: response}", 30, 2000, 256<<10 + 1, true},
		{"no body ever", "{id: x, type: size}", 30, 0, 5000, true},
		{"seven times", "{id: x, type: size}", 30, 8000, 56_000, false},
		{"nine times", "{id: x, type: size}", 30, 8000, 72_000, true},
		{"nine times, low", "{id: x, type: size, sensitivity: low}", 30, 8000, 72_000, false},
		{"21 times, low", "{id: x, type: size, sensitivity: low}", 30, 8000, 170_000, true},
		{"five times, high", "{id: x, type: size, sensitivity: high}", 30, 8000, 40_000, true},
		{"beyond the last bin", "{id: x, type: size}", 30, 1e10, 3e10, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSizedSite(t, "version: 1\nrules: ["+c.rule+"]\n")
			for _, v := range s.learn(c.hours, c.usual) {
				t.Errorf("before: %s", v.Details)
			}
			found := s.pass(c.usual, c.large)
			if c.found != (len(found) == 1) {
				t.Errorf("found %+v, want %v", found, c.found)
			}
		})
	}
}

// TestSizeIsSmall: the promise of docs/BASELINES.md.
func TestSizeIsSmall(t *testing.T) {
	if learnedSizeBytes > 1024 {
		t.Errorf("%d bytes", learnedSizeBytes)
	}
}

// TestSizesForget: what is large and never comes again is forgotten, and so news one day.
func TestSizesForget(t *testing.T) {
	s := newSizedSite(t, largeRules)
	for range 2 {
		s.pass(8100, 900_000)
	}
	found := s.learn(40*24, 8100)
	found = append(found, s.pass(8100, 900_000)...)
	if diff := cmp.Diff("open", phases(found)); diff != "" {
		t.Error(diff)
	}
}
