package detector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

// learnedSite is an API whose log has one partition, told in five minutes at a time.
type learnedSite struct {
	t    testing.TB
	b    *Baselines
	view string
	at   int64
}

// monday is when drawn sites begin.
var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).Unix()

func newLearnedSite(t testing.TB, rules string, o BaselinesOptions) *learnedSite {
	p := mustLoad(t, rules)
	return &learnedSite{t: t, b: NewBaselines(p, o), view: p.Views()[0].ID, at: monday}
}

// answers is what an endpoint did in five minutes: requests by the class of their status.
type answers struct {
	ok, redirects, denied, failed float64
	clients                       int // 0: one in five requests
}

func (x answers) summary(view, endpoint string, start int64) *schemas.Summary {
	whole := func(f float64) int64 { return int64(math.Round(max(0, f))) }
	s := &schemas.Summary{Version: schemas.SummaryVersion, View: view, Endpoint: endpoint, Start: start,
		Classes: [5]int64{1: whole(x.ok), 2: whole(x.redirects), 3: whole(x.denied), 4: whole(x.failed)}}
	for _, n := range s.Classes {
		s.Requests += n
	}
	clients := x.clients
	if clients == 0 {
		clients = int(s.Requests+4) / 5
	}
	for i := range clients {
		s.AddClient(uint32(i+1) * 2654435761)
	}
	return s
}

// pass tells what the endpoints did in five minutes, and gives the verdicts.
func (l *learnedSite) pass(endpoints map[string]answers) []schemas.Verdict {
	var traffic []schemas.BucketTraffic
	for name, x := range endpoints {
		if s := x.summary(l.view, name, l.at); s.Requests > 0 {
			if got := l.b.Merge(s); got != Merged {
				l.t.Fatalf("%s: %v", name, got)
			}
			traffic = []schemas.BucketTraffic{{Start: l.at, Requests: 1}}
		}
	}
	l.at += learnedPeriod
	l.b.Mark(&schemas.SummaryMark{Version: schemas.SummaryVersion, Partitions: 1, Closed: l.at, Traffic: traffic})
	l.b.Close(l.b.Complete(), nil)
	return l.b.Take()
}

const allLearned = `version: 1
rules:
  - {id: rate, type: rate, action: alert}
  - {id: status, type: status_mix, action: alert}
`

// TestBaselinesDrawn has a site drawn for each thing that must or must not be found.
func TestBaselinesDrawn(t *testing.T) {
	const noon = 20*perDay + 12*perHour
	usual := func(i int, noise float64) answers {
		return answers{ok: 5 * byDay(0, float64(i%perDay)/perHour, noise), redirects: 10, denied: 5 + noise}
	}
	within := func(from, to int, by func(x *answers)) func(i int, noise float64) answers {
		return func(i int, noise float64) answers {
			x := usual(i, noise)
			if i >= from && i < to {
				by(&x)
			}
			return x
		}
	}
	more := func(by float64) func(*answers) {
		return func(x *answers) { x.ok, x.redirects, x.denied = x.ok*by, x.redirects*by, x.denied*by }
	}
	fail := func(share float64) func(*answers) {
		return func(x *answers) { x.failed = x.ok * share; x.ok -= x.failed }
	}
	for _, c := range []struct {
		name string
		days int
		of   func(i int, noise float64) answers
		want []string // "periods since noon of day 20: phase, figure"
	}{
		{"nothing, from a cold start", 40, usual, nil},
		{"what the first day has", 1, within(100, 110, more(9)), nil},
		{"silence at noon", 22, within(noon, noon+24, func(x *answers) { *x = answers{} }), []string{"0 open requests", "26 close requests"}},
		{"silence at noon, after two days", 4, func(i int, noise float64) answers {
			x := usual(i, noise)
			if at := 2*perDay + 12*perHour; i >= at && i < at+6 {
				x = answers{}
			}
			return x
		}, []string{"-5184 open requests", "-5176 close requests"}},
		{"nights at noon", 22, within(noon, noon+12, more(1./4)), []string{"1 open requests", "14 close requests"}},
		{"three times as many", 22, within(noon, noon+12, more(3)), []string{"0 open requests", "0 open clients", "14 close requests", "14 close clients"}},
		{"one client", 22, within(noon, noon+12, func(x *answers) { n := int(x.ok+15) / 5; more(4)(x); x.clients = n }), []string{"3 open requests", "14 close requests"}},
		{"one client, a quarter of an hour", 22, within(noon, noon+3, func(x *answers) { n := int(x.ok+15) / 5; more(4)(x); x.clients = n }), nil},
		{"errors", 22, within(noon, noon+6, fail(0.2)), []string{"0 open server errors", "8 close server errors"}},
		{"a third more", 22, within(noon, noon+6, more(1.33)), nil},
		{"one in a hundred fails", 22, within(noon, noon+6, fail(0.01)), nil},
		{"all are denied instead", 22, within(noon, noon+6, func(x *answers) { x.denied += x.ok; x.ok = 0 }), []string{"0 open client errors", "8 close client errors"}},
		{"some are denied besides, a quarter of an hour", 22, within(noon, noon+3, func(x *answers) { x.denied += x.ok / 4 }), nil},
		{"lasting errors are reported once", 30, within(noon, 1<<30, fail(0.3)), []string{"0 open server errors", "close"}},
		{"a lasting level is reported once", 30, within(noon, 1<<30, more(4)), []string{"0 open requests", "0 open clients", "close", "close"}},
		{"clocks set forward", 40, func(i int, noise float64) answers {
			if i > 20*perDay {
				i += perHour
			}
			return usual(i, noise)
		}, nil},
		{"weekends", 40, func(i int, noise float64) answers {
			x := usual(i, noise)
			if i/perDay%7 >= 5 {
				more(0.3)(&x)
			}
			return x
		}, nil},
		{"a log that was silent for an hour, and began again within five minutes", 22, within(noon, noon+12, func(x *answers) { x.ok = math.NaN() }), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLearnedSite(t, allLearned, BaselinesOptions{})
			rng := rand.New(rand.NewPCG(1, 2))
			var got []string
			for i := range c.days * perDay {
				x := c.of(i, rng.NormFloat64())
				other := usual(i, rng.NormFloat64())
				endpoints := map[string]answers{"GET /pay": x, "GET /other": other}
				if math.IsNaN(x.ok) {
					endpoints = nil
				}
				for _, v := range l.pass(endpoints) {
					t.Log(v.EventTime, v.Phase, v.Details)
					if v.Endpoint != "GET /pay" {
						t.Errorf("a verdict on another endpoint: %s", v.Details)
					}
					of, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(v.Details, "share of "), "rare "), " of ")
					of, _, _ = strings.Cut(of, " (")
					got = append(got, fmt.Sprint(i-noon, " ", v.Phase, " ", of))
				}
			}
			if len(got) == len(c.want) {
				for i, w := range c.want {
					if w == "close" && strings.Contains(got[i], w) {
						got[i] = w
					}
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
		})
	}
}

// toldSummary is a summary or a mark of the topic.
type toldSummary struct {
	summary *schemas.Summary
	mark    *schemas.SummaryMark
}

// drawSummaries draws two days of three endpoints, with spikes and errors, as one partition of the
// log would tell them.
func drawSummaries(view string, seed uint64) []toldSummary {
	rng := rand.New(rand.NewPCG(seed, 9))
	var all []toldSummary
	for i := range 2 * perDay {
		for j, name := range []string{"GET /a", "GET /b", "POST /c"} {
			x := answers{ok: 40 + 10*rng.NormFloat64(), clients: 6 + rng.IntN(3)}
			if rng.IntN(60) == 0 {
				x.ok, x.clients = x.ok*float64(2+rng.IntN(20)), x.clients*(1+rng.IntN(9))
			}
			if rng.IntN(80) == 0 {
				x.failed = x.ok * rng.Float64()
			}
			if j == 2 {
				x.ok /= 30
			}
			s := x.summary(view, name, monday+int64(i)*learnedPeriod+10*rng.Int64N(30))
			slow := 1.
			if i%97 > 90 {
				slow = 20
			}
			for k := range min(s.Requests, 6) {
				s.AddEvidence(schemas.LatencyEvidence{Time: s.Start*microseconds + k*1_700_000, Latency: slow * math.Exp(3+rng.NormFloat64()/3), Hash: rng.Uint32()})
			}
			for _, e := range s.Evidence {
				s.AddLatency(uint8(schemas.LatencyBinOf(e.Latency)), 1)
			}
			drawLarge(rng, s)
			if s.Requests > 0 {
				all = append(all, toldSummary{summary: s})
			}
		}
		start := monday + int64(i)*learnedPeriod
		all = append(all, toldSummary{mark: &schemas.SummaryMark{Version: schemas.SummaryVersion, Partitions: 1, Closed: start + learnedPeriod,
			Traffic: []schemas.BucketTraffic{{Start: start, Requests: 100}}}})
	}
	return all
}

// drawLarge gives the requests of a summary sizes, of which few are large.
func drawLarge(rng *rand.Rand, s *schemas.Summary) {
	s.Sizes = &schemas.Sizes{}
	for i := range s.Requests {
		for k, usual := range [...]float64{2000, 100} {
			if rng.IntN(6000) == 0 {
				usual *= 1000
			}
			s.Sizes[k].Add(schemas.LargeEvent{Time: s.Start*microseconds + i%9_999_999, Size: int64(usual * math.Exp(rng.NormFloat64()/2)),
				Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(rng.IntN(256))})})
		}
	}
}

// spread tells the same as a log of more partitions would, in some order.
func spread(t *rapid.T, all []toldSummary, partitions int) []toldSummary {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "spread"), 1))
	var out, bucket []toldSummary
	for _, x := range all {
		if x.mark == nil {
			left := *x.summary
			for p := range partitions {
				s := left
				s.Partition, s.Requests, s.Clients, s.Latency, s.Evidence, s.Sizes = int32(p), 0, nil, nil, nil, spreadSizes(x.summary.Sizes, p, partitions)
				for c := range s.Classes {
					if p < partitions-1 {
						s.Classes[c] = rng.Int64N(left.Classes[c] + 1)
					}
					left.Classes[c] -= s.Classes[c]
					s.Requests += s.Classes[c]
				}
				for i, c := range x.summary.Clients {
					if i%partitions == p || rng.IntN(4) == 0 {
						s.Clients = append(s.Clients, c)
					}
				}
				for i, e := range x.summary.Evidence {
					if i%partitions == p {
						s.AddEvidence(e)
						s.AddLatency(uint8(schemas.LatencyBinOf(e.Latency)), 1)
					}
				}
				bucket = append(bucket, toldSummary{summary: &s})
			}
			continue
		}
		rng.Shuffle(len(bucket), func(i, j int) { bucket[i], bucket[j] = bucket[j], bucket[i] })
		out = append(out, bucket...)
		bucket = bucket[:0]
		for _, p := range rng.Perm(partitions) {
			m := *x.mark
			m.Partition, m.Partitions = int32(p), partitions
			if p > 0 {
				m.Traffic = nil
			}
			out = append(out, toldSummary{mark: &m})
		}
	}
	return out
}

// spreadSizes gives what one of several partitions has of sizes. Which events are in the bins
// nobody knows, but for the largest.
func spreadSizes(all *schemas.Sizes, partition, partitions int) *schemas.Sizes {
	s := &schemas.Sizes{}
	for k := range all {
		for i, e := range all[k].Largest {
			if i%partitions == partition {
				s[k].Largest = append(s[k].Largest, e)
			}
		}
		for i, b := range all[k].Bins {
			if i%partitions == partition {
				s[k].Bins = append(s[k].Bins, b)
			}
		}
	}
	return s
}

func (x toldSummary) tell(b *Baselines) []schemas.Verdict {
	if x.summary != nil {
		b.Merge(x.summary)
		return nil
	}
	b.Mark(x.mark)
	b.Close(b.Complete(), nil)
	return b.Take()
}

const highRules = `version: 1
rules:
  - {id: rate, type: rate, action: alert, sensitivity: high, remind: 10m}
  - {id: status, type: status_mix, sensitivity: high, mode: passive}
  - {id: slow, type: latency}
  - {id: slow-low, type: latency, sensitivity: low, remind: 5m}
  - {id: large, type: size, remind: 5m}
  - {id: long, type: size, metric: query, sensitivity: high, mode: passive}
`

// TestBaselinesDoNotDependOnWhatMustNotMatter: partitions of the log, order within a
// bucket, and being restored, each piece as of another time.
func TestBaselinesDoNotDependOnWhatMustNotMatter(t *testing.T) {
	found := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		p := mustLoad(t, highRules)
		all := drawSummaries(p.Views()[0].ID, rapid.Uint64().Draw(t, "seed"))
		var want []schemas.Verdict
		for b, i := NewBaselines(p, BaselinesOptions{}), 0; i < len(all); i++ {
			want = append(want, all[i].tell(b)...)
		}
		for _, v := range want {
			found[v.RuleID+" "+string(v.Phase)]++
		}

		shards := rapid.IntRange(1, 5).Draw(t, "shards")
		all = spread(t, all, rapid.IntRange(1, 4).Draw(t, "partitions"))
		b := NewBaselines(p, BaselinesOptions{Shards: shards})
		crash := rapid.IntRange(0, len(all)).Draw(t, "crash")
		saved := make([][]byte, shards)
		at := make([]int, shards) // what each piece contains
		for i := range saved {
			at[i] = rapid.IntRange(0, crash).Draw(t, "saved")
		}
		got := map[string]schemas.Verdict{}
		keep := func(verdicts []schemas.Verdict) {
			for _, v := range verdicts {
				if old, ok := got[v.VerdictID]; ok && !cmp.Equal(old, v) {
					t.Fatalf("one id, two verdicts: %s", cmp.Diff(old, v))
				}
				got[v.VerdictID] = v
			}
		}
		for i := range crash + 1 {
			for shard := range saved {
				if at[shard] == i {
					saved[shard] = b.AppendShard(nil, shard)
				}
			}
			if i < crash {
				keep(all[i].tell(b))
			}
		}
		b = NewBaselines(p, BaselinesOptions{Shards: rapid.IntRange(1, 5).Draw(t, "other shards")})
		for _, piece := range saved {
			if err := b.RestoreShard(piece); err != nil {
				t.Fatal(err)
			}
		}
		for _, x := range all[slices.Min(at):] {
			keep(x.tell(b))
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(v schemas.Verdict) bool { return cmp.Equal(got[v.VerdictID], v) })
		if len(missing) > 0 || len(got) != len(want) {
			for _, v := range missing {
				t.Fatalf("%d verdicts, want %d; %s", len(got), len(want), cmp.Diff(v, got[v.VerdictID]))
			}
			t.Fatalf("%d verdicts, want %d", len(got), len(want))
		}
	})
	t.Log(found)
	for _, rule := range []string{"rate", "status", "slow", "slow-low", "large", "long"} {
		if found[rule+" open"] == 0 || found[rule+" close"] == 0 {
			t.Errorf("rule %s opened or closed nothing in any draw, so nothing was shown of it: %v", rule, found)
		}
	}
}
