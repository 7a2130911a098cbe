package detector

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

// gathered is what TakeSummaries has given so far.
type gathered struct {
	summaries []schemas.Summary
	marks     []schemas.SummaryMark
}

func (l *gathered) take(e *Engine) {
	summaries, mark := e.TakeSummaries()
	for _, s := range summaries {
		s.Latency = append([]schemas.BinCount(nil), s.Latency...)
		s.Evidence = append([]schemas.LatencyEvidence(nil), s.Evidence...)
		s.Clients = append([]uint32(nil), s.Clients...)
		if s.Sizes != nil {
			all := schemas.Sizes{}
			all.Merge(s.Sizes)
			s.Sizes = &all
		}
		if s.Peers != nil {
			s.Peers = &schemas.Peers{Moves: slices.Clone(s.Peers.Moves), Tops: slices.Clone(s.Peers.Tops)}
		}
		l.summaries = append(l.summaries, s)
	}
	if mark != nil {
		m := *mark
		m.Traffic = append([]schemas.BucketTraffic(nil), m.Traffic...)
		l.marks = append(l.marks, m)
	}
}

func (l *gathered) observe(e *Engine, events ...*schemas.Event) {
	for _, ev := range events {
		e.Observe(ev, Record{Offset: 1 << 40, Time: ev.Time})
		e.Take()
		l.take(e)
	}
}

// timed is an event some seconds after origin.
func timed(seconds float64, clientNumber int, path string, ms float64) *schemas.Event {
	ev := hit(client(clientNumber), origin+int64(seconds*1e6), path)
	ev.LatencyMS = fmt.Append(nil, ms)
	ev.ResponseBytes = []byte("100")
	return ev
}

// keys names the summaries in the order in which they came: seconds after origin,
// endpoint, requests.
func (l *gathered) keys() []string {
	var keys []string
	for _, s := range l.summaries {
		keys = append(keys, fmt.Sprintf("%d %s %d", s.Start-origin/second, s.Endpoint, s.Requests))
	}
	return keys
}

func wantKeys(t *testing.T, l *gathered, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, l.keys()); d != "" {
		t.Errorf("summaries (-want +got):\n%s", d)
	}
}

const learnedRules = "version: 1\nlateness: 30s\nrules: [{id: slow, type: latency}]"

func TestSummary(t *testing.T) {
	e := NewEngine(mustLoad(t, learnedRules), Options{Topic: "logs", Partition: 3})
	var l gathered
	failed := timed(3.5, 2, "/a", 20)
	failed.Status = 503
	l.observe(e, timed(1, 1, "/a", 10), timed(1.25, 1, "/a", 11), timed(1.5, 1, "/a", 12), failed, timed(12, 1, "/b", 1), timed(39.9, 1, "/b", 1))
	if len(l.summaries) > 0 {
		t.Fatalf("summaries %v before the watermark is there", l.keys())
	}
	l.observe(e, timed(40, 1, "/b", 1))
	wantKeys(t, &l, "0 GET /a 4")
	got := l.summaries[0]
	if len(got.Evidence) != 3 || got.Evidence[2].Time != failed.Time || got.Evidence[2].Latency != 20 {
		t.Errorf("evidence %v, want two of the first second and one of the other", got.Evidence)
	}
	if len(got.Clients) != 2 {
		t.Errorf("clients %v, want two", got.Clients)
	}
	got.Evidence, got.Clients = nil, nil
	want := schemas.Summary{
		Version: 1, View: e.program.views[0].ID, Endpoint: "GET /a", Topic: "logs", Partition: 3, Start: origin / second, Requests: 4,
		Classes: [5]int64{0, 3, 0, 0, 1}, Bytes: 400, LatencyUS: 53_000, Latency: []schemas.BinCount{{Bin: 29, Count: 2}, {Bin: 30, Count: 1}, {Bin: 32, Count: 1}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	wantMark := schemas.SummaryMark{Version: 1, Topic: "logs", Partition: 3, Closed: origin/second + 10, Traffic: []schemas.BucketTraffic{{Start: origin / second, Requests: 4}}}
	if d := cmp.Diff(wantMark, l.marks[len(l.marks)-1]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// A gap of hours closes all that is open, in one go.
	l.observe(e, timed(36_000, 1, "/c", 1))
	wantKeys(t, &l, "0 GET /a 4", "10 GET /b 1", "30 GET /b 1", "40 GET /b 1")
	if m := l.marks[len(l.marks)-1]; len(l.marks) != 4 || m.Closed != origin/second+35_970 || len(m.Traffic) != 3 {
		t.Errorf("marks %+v", l.marks)
	}
}

// TestSummariesSeeWhatCounts: who is exempt, blocked or too late is in no summary, who is
// banned is, and so is a copy keyed by the address alone of those of one event.
func TestSummariesSeeWhatCounts(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
lateness: 15s
exempt: [10.0.0.9]
rules:
  - {id: slow, type: latency}
  - {id: once, type: match, when: 'true', action: ban}
`), Options{Topic: "logs"})
	var l gathered
	blocked := timed(11, 2, "/blocked", 1)
	blocked.Blocked = true
	l.observe(e, timed(10, 1, "/a", 1), timed(20, 1, "/banned", 1), blocked, timed(11, 9, "/exempt", 1), timed(4.9, 2, "/late", 1), timed(5, 2, "/in-time", 1))
	for _, key := range []string{"", "user_id"} {
		ev := timed(12, 3, "/copied", 1)
		e.Observe(ev, Record{Time: ev.Time, Copy: &Copy{Key: key}})
	}
	l.observe(e, timed(60, 1, "/end", 1))
	wantKeys(t, &l, "0 GET /in-time 1", "10 GET /a 1", "10 GET /copied 1", "20 GET /banned 1")
}

func TestSummaryGroups(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
lateness: 0s
rules:
  - {id: slow, type: latency, group_by: [service, endpoint]}
`), Options{Topic: "logs"})
	var l gathered
	for i, service := range []string{"shop", "stock", "shop", "stock", ""} {
		ev := timed(float64(i), 1, "/a/b", 1)
		ev.Service = []byte(service)
		l.observe(e, ev)
	}
	l.observe(e, timed(10, 1, "/end", 1))
	wantKeys(t, &l, "0 GET /a/b 1", "0 GET shop/a/b 2", "0 GET stock/a/b 2")
}

func TestSummaryViews(t *testing.T) {
	p := mustLoad(t, `version: 1
lateness: 0s
rules:
  - {id: a, type: latency}
  - {id: b, type: rate, sensitivity: high}
  - {id: h, type: size}
  - {id: i, type: size, metric: query, sensitivity: low}
  - {id: c, type: rate, endpoint: GET /x}
  - {id: d, type: rate, endpoint: GET /x, when: 'status == 404'}
  - {id: e, type: rate, exempt: [10.0.0.1]}
  - {id: f, type: outlier}
  - {id: g, type: usage, threshold: 1}
`)
	seen := map[string]string{} // by view, the ids of its rules
	for _, v := range p.Views() {
		for _, r := range v.Rules {
			seen[v.ID] += r.ID
		}
	}
	e := NewEngine(p, Options{Topic: "logs"})
	var l gathered
	missed := timed(1, 2, "/x", 1)
	missed.Status = 404
	l.observe(e, timed(0, 1, "/x", 1), missed, timed(2, 1, "/y", 1), timed(10, 1, "/end", 1))
	got := map[string]string{}
	for _, s := range l.summaries {
		got[seen[s.View]] += fmt.Sprintf("%s %d;", s.Endpoint, s.Requests)
	}
	want := map[string]string{"abhi": "GET /x 2;GET /y 1;", "c": "GET /x 2;", "d": "GET /x 1;", "e": "GET /x 1;", "f": "GET /x 0;GET /y 0;"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("summaries by rules (-want +got):\n%s", d)
	}
	if !slices.IsSortedFunc(l.summaries, func(a, b schemas.Summary) int { return strings.Compare(a.View+a.Endpoint, b.View+b.Endpoint) }) {
		t.Error("summaries are not in the order of views and endpoints")
	}
}

// TestPooledSummaries: endpoints beyond the bound are one, and those that were gathered apart
// stay so.
func TestPooledSummaries(t *testing.T) {
	e := NewEngine(mustLoad(t, strings.Replace(learnedRules, "30s", "0s", 1)), Options{Topic: "logs", MaxEndpoints: 2})
	var l gathered
	l.observe(e, timed(0, 1, "/a", 1), timed(1, 1, "/b", 1), timed(2, 1, "/c", 1), timed(3, 1, "/d", 1), timed(4, 1, "/a", 1),
		timed(5, 1, "/"+strings.Repeat("x", 600), 1), timed(10, 1, "/c", 1), timed(20, 1, "/"+strings.Repeat("x", 600), 1), timed(30, 1, "/end", 1))
	wantKeys(t, &l, "0 * 3", "0 GET /a 2", "0 GET /b 1", "10 GET /c 1", "20 * 1")
	if !l.summaries[0].Pooled || l.summaries[1].Pooled {
		t.Error("what is pooled does not say so")
	}
}

// TestPooledServices: what is pooled is pooled by service, up to a number of services.
func TestPooledServices(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
lateness: 0s
rules: [{id: slow, type: latency, group_by: [service, endpoint]}]`), Options{Topic: "logs", MaxEndpoints: 1})
	var l gathered
	for i := range 600 {
		ev := timed(float64(i)/100, 1, "/a", 1)
		ev.Service = fmt.Appendf(nil, "s%d", i%300)
		l.observe(e, ev)
	}
	l.observe(e, timed(10, 1, "/end", 1))
	keys := l.keys()
	if len(keys) != 1+openGroups+1 || keys[0] != fmt.Sprintf("0 * %d", 2*(299-openGroups)) || keys[1] != "0 * s1 2" || keys[len(keys)-1] != "0 GET s0/a 2" {
		t.Errorf("%d summaries, %q, %q ... %q", len(keys), keys[0], keys[1], keys[len(keys)-1])
	}
}

// TestFloodedSummaries floods an engine with endpoints that come once, in order and late:
// memory stays in bounds, and is given back.
func TestFloodedSummaries(t *testing.T) {
	e := NewEngine(mustLoad(t, learnedRules), Options{Topic: "logs"})
	most := int64(0)
	flood := func(from, n int, path func(int) string) {
		for i := from; i < from+n; i++ {
			ev := timed(float64(i)/2000-float64(i%3)*10, i, path(i), 1)
			e.Observe(ev, Record{Time: origin + int64(i)*500})
			e.Take()
			e.TakeSummaries()
			most = max(most, e.Stats().SummaryBytes)
		}
	}
	// Folding would leave few of them were they numbers.
	name := func(i int) string {
		return "/" + strings.Map(func(r rune) rune { return r - '0' + 'g' }, fmt.Sprint(i))
	}
	flood(0, 200_000, name)
	if most < 10<<20 || most > 30<<20 {
		t.Errorf("at most %d bytes were held", most)
	}
	flood(200_000, 200_000, func(int) string { return "/quiet" })
	if now := e.Stats().SummaryBytes; now > 1<<20 {
		t.Errorf("%d bytes are still held", now)
	}
}

// TestSummariesDoNotAllocate: once endpoints and lists have been met, events find memory.
func TestSummariesDoNotAllocate(t *testing.T) {
	for _, group := range []string{"[endpoint]", "[service, endpoint]"} {
		e := NewEngine(mustLoad(t, `version: 1
lateness: 5s
rules:
  - {id: slow, type: latency, group_by: `+group+`}
  - {id: large, type: size, group_by: `+group+`}
  - {id: long, type: size, metric: query, group_by: `+group+`}
  - {id: big, type: size, metric: response, group_by: `+group+`}`), Options{Topic: "logs", Shards: 1})
		var events []*schemas.Event
		for i := range 300 {
			ev := timed(float64(i)/20, i, "/p"+string(rune('a'+i%20)), float64(i%50))
			ev.Service = []byte{'s', byte('a' + i%3)}
			ev.RequestBytes, ev.Query = fmt.Append(nil, i*i%7000), ev.Path[:i%3]
			events = append(events, ev)
		}
		n := 0
		round := func() {
			for _, ev := range events {
				e.Observe(ev, Record{Time: ev.Time})
				if n++; n%64 == 0 {
					e.TakeSummaries()
				}
				ev.Time += 15 * second
			}
		}
		for range 20 {
			round()
		}
		allocs := testing.AllocsPerRun(20, round)
		// The name of an endpoint with its service is made once a bucket.
		names := 0.0
		if group != "[endpoint]" {
			names = 2 * 60
		}
		if allocs > names {
			t.Errorf("%s: %g allocations for %d events", group, allocs, len(events))
		}
	}
}

// TestSummariesDoNotDependOnTheSpread wants summaries of one partition to be the same as
// those of several with the same events, merged.
func TestSummariesDoNotDependOnTheSpread(t *testing.T) {
	p := mustLoad(t, `version: 1
lateness: 60s
rules:
  - {id: all, type: latency}
  - {id: large, type: size}
  - {id: long, type: size, metric: query}
  - {id: some, type: status_mix, when: 'status >= 400', group_by: [service, endpoint]}
`)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{3, 30, 300}).Draw(t, "events")
		crowd := rapid.SampledFrom([]int{1, 5, 400}).Draw(t, "crowd")
		events := make([]*schemas.Event, n)
		for i := range events {
			ev := timed(rapid.Float64Range(0, 30).Draw(t, "second"), rapid.IntRange(1, crowd).Draw(t, "client"), rapid.SampledFrom([]string{"/a", "/b", "/c"}).Draw(t, "path"),
				rapid.SampledFrom([]float64{-1, 0, 3, 4.5, 1000}).Draw(t, "ms"))
			ev.Status = rapid.SampledFrom([]uint16{200, 302, 404, 500}).Draw(t, "status")
			ev.Service = []byte(rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "service"))
			drawSizes(t, ev)
			events[i] = ev
		}
		collect := func(partitions int, of func(i int) int) map[string]schemas.Summary {
			merged := map[string]schemas.Summary{}
			for partition := range partitions {
				// The seed and the shards are nothing to summaries.
				e := NewEngine(p, Options{Topic: "logs", Partition: int32(partition), Shards: 1 << (partition % 3), Seed: [2]uint64{uint64(partition) + 1, 2}})
				var l gathered
				for i, ev := range events {
					if of(i) == partition {
						l.observe(e, ev)
					}
				}
				l.observe(e, timed(1000, 1, "/end", 1))
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
		spread := rapid.SliceOfN(rapid.IntRange(0, 7), n, n).Draw(t, "spread")
		one := collect(1, func(int) int { return 0 })
		if d := cmp.Diff(one, collect(8, func(i int) int { return spread[i] }), equalAddresses); d != "" {
			t.Fatalf("(-one partition +eight):\n%s", d)
		}
		if len(one) == 0 {
			t.Fatal("there are no summaries")
		}
	})
}

// drawSizes gives an event sizes, which it may not have.
func drawSizes(t *rapid.T, ev *schemas.Event) {
	ev.RequestBytes = rapid.SampledFrom([][]byte{nil, []byte("-1"), []byte("0"), []byte("70"), []byte("5e6")}).Draw(t, "request")
	ev.Query = []byte("a=1234567")[:rapid.IntRange(0, 9).Draw(t, "query")]
}

// equalAddresses has addresses compared as a whole.
var equalAddresses = cmpopts.EquateComparable(netip.Addr{})

// summaryTrial is a log, with rules that change on the way.
type summaryTrial struct {
	events   []*schemas.Event
	programs map[int]*Program // by the offset from which they hold
	bounds   map[int]int      // of endpoints, likewise
	options  Options
}

func drawSummaryTrial(t *rapid.T) *summaryTrial {
	programs := []*Program{
		mustLoad(t, learnedRules),
		mustLoad(t, "version: 1\nlateness: 60s\nrules: [{id: slow, type: latency}, {id: large, type: size}, {id: bad, type: status_mix, when: 'status == 404'}]"),
		mustLoad(t, "version: 1\nlateness: 10s\nrules: [{id: bad, type: size, metric: query, when: 'status == 404'}, {id: by, type: rate, group_by: [host, endpoint]}]"),
		mustLoad(t, "version: 1\nrules: [{id: other, type: usage, threshold: 5}]"),
	}
	tr := &summaryTrial{programs: map[int]*Program{}, bounds: map[int]int{}, options: Options{Topic: "t", Shards: 2, MaxEndpoints: rapid.IntRange(0, 4).Draw(t, "endpoints")}}
	tr.programs[0] = programs[rapid.IntRange(0, 2).Draw(t, "program")]
	at := float64(1000)
	n := rapid.SampledFrom([]int{10, 60, 300}).Draw(t, "events")
	for i := range n {
		at += rapid.SampledFrom([]float64{0, 0.01, 0.7, 3, 30}).Draw(t, "gap")
		ev := timed(at-rapid.Float64Range(-10, 40).Draw(t, "late"), rapid.IntRange(1, 300).Draw(t, "client"), rapid.SampledFrom([]string{"/a", "/b", "/c", "/d", "/e"}).Draw(t, "path"),
			rapid.Float64Range(0, 100).Draw(t, "ms"))
		ev.Status = rapid.SampledFrom([]uint16{200, 404}).Draw(t, "status")
		drawSizes(t, ev)
		ev.Host = []byte(rapid.SampledFrom([]string{"", "h", "i"}).Draw(t, "host"))
		tr.events = append(tr.events, ev)
		if rapid.IntRange(0, 30).Draw(t, "other rules") == 0 {
			tr.programs[i] = programs[rapid.IntRange(0, len(programs)-1).Draw(t, "program")]
		}
		if rapid.IntRange(0, 30).Draw(t, "other bounds") == 0 {
			tr.bounds[i] = rapid.IntRange(1, 4).Draw(t, "endpoints")
		}
	}
	return tr
}

// change makes the changes that hold from an offset on.
func (tr *summaryTrial) change(e *Engine, i int) {
	if p := tr.programs[i]; p != nil && i > 0 {
		e.Adopt(int64(i), p)
	}
	if n := tr.bounds[i]; n > 0 {
		e.Bound(0, n)
	}
}

// judge has an engine judge an event, and says what that closed. The record's time is
// ahead of the event's, or behind.
func (tr *summaryTrial) judge(e *Engine, i int) (l gathered) {
	tr.change(e, i)
	ev := tr.events[i]
	e.Observe(ev, Record{Offset: int64(i), Time: ev.Time - 5*second})
	e.Take()
	l.take(e)
	return l
}

// TestRestoredSummariesAreTheSame copies open summaries in steps at random moments,
// crashes at others, and wants what is closed after that to be what an engine closes
// that was never interrupted.
func TestRestoredSummariesAreTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := drawSummaryTrial(t)
		e := NewEngine(tr.programs[0], tr.options)
		var want []gathered
		for i := range tr.events {
			want = append(want, tr.judge(e, i))
		}
		e = NewEngine(tr.programs[0], tr.options)
		pieces, making := map[int][]byte{}, map[int]*ShardCopy{}
		restarts := 0
		for i := range tr.events {
			switch rapid.IntRange(0, 9).Draw(t, "before") {
			case 0, 1, 2, 3:
				shard := rapid.IntRange(0, e.SummaryShard()).Draw(t, "shard")
				if making[shard] == nil {
					making[shard] = &ShardCopy{}
					e.BeginCopy(shard, int64(i), true, making[shard])
				}
				if c := making[shard]; e.GoOnCopying(shard, rapid.SampledFrom([]int{1, 8, 1000}).Draw(t, "slots")) {
					if delete(making, shard); c.Made() {
						pieces[shard] = c.Append(nil)
					}
				}
			case 4:
				e = tr.restored(t, pieces, i)
				clear(making)
				restarts++
			}
			got := tr.judge(e, i)
			if d := cmp.Diff(want[i], got, cmp.AllowUnexported(gathered{}), equalAddresses); d != "" {
				t.Fatalf("event %d after %d restarts (-undisturbed +restored):\n%s", i, restarts, d)
			}
			e.wantSummariesSound()
		}
	})
}

// restored makes an engine of pieces and has it judge the log up to an offset.
func (tr *summaryTrial) restored(t *rapid.T, pieces map[int][]byte, to int) *Engine {
	from := int64(to)
	for shard := range tr.options.Shards + 1 {
		next := int64(0)
		if b := pieces[shard]; b != nil {
			h, err := ReadSnapshotHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			next = h.Next
		}
		from = min(from, next)
	}
	program, options := tr.programs[0], tr.options
	for i := range int(from) {
		if p := tr.programs[i]; p != nil {
			program = p
		}
		if n := tr.bounds[i]; n > 0 {
			options.MaxEndpoints = n
		}
	}
	e := NewEngine(program, options)
	for _, b := range pieces {
		if err := e.Restore(b, nil); err != nil {
			t.Fatal(err)
		}
	}
	e.Begin(from)
	for i := int(from); i < to; i++ {
		tr.judge(e, i)
	}
	return e
}

// wantSummariesSound panics where what open summaries count of themselves is wrong.
func (e *Engine) wantSummariesSound() {
	s := &e.summaries
	n, bytes := len(s.pool.free), tallyBytes*int64(len(s.pool.tallies))+sizesBytes*int64(len(s.pool.sizes))
	for _, b := range slices.Concat(s.open, s.done, s.lent) {
		n += len(b.summaries)
		for _, x := range b.summaries {
			if x.tally != nil {
				bytes += tallyBytes
			}
			if x.sizes != nil {
				bytes += sizesBytes
			}
		}
	}
	if bytes += summaryBytes * int64(n); n != s.pool.made || bytes != s.pool.bytes {
		panic(fmt.Sprintf("there are %d summaries, of %d bytes with their tallies; the pool counts %d of %d", n, bytes, s.pool.made, s.pool.bytes))
	}
	for i, b := range s.open {
		named, pooled := 0, 0
		for _, v := range b.views {
			named, pooled = named+v.named, pooled+v.pooled
		}
		if named+pooled != len(b.summaries) || b.from != b.start*second || i > 0 && s.open[i-1].start >= b.start {
			panic(fmt.Sprintf("bucket %d at %d has %d summaries, it counts %d and %d", i, b.start, len(b.summaries), named, pooled))
		}
	}
}

// TestSnapshotsWithoutSummaries: what older versions wrote can be restored, and nothing
// is open then.
func TestSnapshotsWithoutSummaries(t *testing.T) {
	p := mustLoad(t, learnedRules)
	e := NewEngine(p, Options{Topic: "t", Shards: 1})
	var l gathered
	l.observe(e, timed(1, 1, "/a", 1))
	var c ShardCopy
	e.Copy(0, 1, true, &c)
	to := NewEngine(p, Options{Topic: "t", Shards: 1})
	if err := to.Restore(c.Append(nil), nil); err != nil {
		t.Fatal(err)
	}
	to.Begin(1)
	l.observe(to, timed(12, 1, "/b", 1), timed(60, 1, "/c", 1))
	wantKeys(t, &l, "10 GET /b 1")
}

// TestSummariesOfAnotherFormat are refused, and nothing is open then.
func TestSummariesOfAnotherFormat(t *testing.T) {
	p := mustLoad(t, learnedRules)
	e := NewEngine(p, Options{Topic: "t", Shards: 1})
	var l gathered
	l.observe(e, timed(1, 1, "/a", 1))
	var c ShardCopy
	e.Copy(e.SummaryShard(), 1, true, &c)
	c.open.Format = summaryFormat + 1
	to := NewEngine(p, Options{Topic: "t", Shards: 1})
	if err := to.Restore(c.Append(nil), nil); err == nil {
		t.Error("it was restored")
	}
	if len(to.summaries.open) > 0 || to.summaries.waiting {
		t.Error("something is open")
	}
}

// TestIdleSummaries: the clock closes buckets where no event does, and what comes later
// all the same is in none that is closed.
func TestIdleSummaries(t *testing.T) {
	e := NewEngine(mustLoad(t, strings.Replace(learnedRules, "30s", "20s", 1)), Options{Topic: "logs"})
	var l gathered
	e.CloseIdle(0, 1000*second) // nothing is known of time yet
	l.observe(e, timed(100, 1, "/a", 1))
	closed := func() int64 {
		_, mark := e.TakeSummaries()
		if mark == nil {
			return 0
		}
		return mark.Closed - origin/second
	}
	e.CloseIdle(1, 9*second)
	if at := closed(); at != 0 {
		t.Errorf("after 9 s all is closed until %d", at)
	}
	e.CloseIdle(1, 30*second)
	if at := closed(); at != 110 {
		t.Errorf("after 30 s all is closed until %d, want 110", at)
	}
	var late gathered
	late.observe(e, timed(105, 2, "/a", 1), timed(112, 3, "/a", 1), timed(200, 4, "/a", 1))
	if len(late.summaries) != 1 || late.summaries[0].Start != origin/second+110 || late.summaries[0].Requests != 1 {
		t.Errorf("what came later is in %+v", late.summaries)
	}
}

// TestPublishedSummaryIsJSON: nothing that an event can say makes a summary that cannot
// be written.
func TestPublishedSummaryIsJSON(t *testing.T) {
	e := NewEngine(mustLoad(t, strings.Replace(learnedRules, "30s", "0s", 1)), Options{Topic: "logs"})
	var l gathered
	for i, text := range []string{"-1", "1e400", "-0", "1e308", "0.000001", "null"} {
		ev := hit(netip.MustParseAddr("2001:db8::1"), origin+int64(i)*second, "/\xff\"")
		ev.LatencyMS, ev.ResponseBytes = []byte(text), []byte(text)
		l.observe(e, ev)
	}
	l.observe(e, timed(10, 1, "/end", 1))
	if len(l.summaries) != 1 {
		t.Fatalf("%d summaries, want one", len(l.summaries))
	}
	text := schemas.AppendSummary(nil, &l.summaries[0])
	if !json.Valid(text) {
		t.Errorf("no JSON: %s", text)
	}
	var back schemas.Summary
	if err := schemas.DecodeSummary(text, &back); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if back.Requests != 6 || len(back.Evidence) != 3 {
		t.Errorf("%s", text)
	}
}

// TestSummariesAreTheSameInEveryRelease: processes of several releases summarize one log, and
// what was learned is found by the view.
func TestSummariesAreTheSameInEveryRelease(t *testing.T) {
	p := mustLoad(t, `version: 1
lateness: 0s
rules: [{id: a, type: rate, endpoint: ["GET /x/{id}", "* /y/**"], when: 'status == 200', exempt: [192.0.2.0/24], group_by: [service, endpoint]}]`)
	e := NewEngine(p, Options{Topic: "logs"})
	var l gathered
	ev := timed(1.5, 7, "/y/z", 12.5)
	ev.Service = []byte("shop")
	l.observe(e, ev, timed(10, 1, "/end", 1))
	text, err := json.Marshal(l.summaries)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"version":1,"view":"952dd83b2af3","endpoint":"GET shop/y/z","topic":"logs","partition":0,"start":1767225600,"requests":1,` +
		`"classes":[0,1,0,0,0],"bytes":100,"latency_us":12500,"latency":[[30,1]],"evidence":[[1767225601500000,12.5,268283506]],"clients":[2250929934]}]`
	if string(text) != want {
		t.Errorf("it is %s\nand was %s", text, want)
	}
}

// Where open summaries are lost, a bucket is told of once all of it is seen again.
func TestLostSummariesAreNotToldInPart(t *testing.T) {
	e := NewEngine(mustLoad(t, learnedRules), Options{Topic: "logs"})
	e.LoseSummaries()
	var l gathered
	l.observe(e, timed(15, 1, "/a", 10), timed(12, 1, "/a", 10), timed(3, 1, "/a", 10), timed(21, 1, "/a", 10), timed(19, 1, "/a", 10), timed(29, 1, "/a", 10), timed(100, 1, "/a", 10))
	wantKeys(t, &l, "20 GET /a 2")
}
