package consumer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// latencyRule judges the latency of each endpoint.
const latencyRule = `
version: 1
rules:
  - {id: slow, type: latency, action: alert}
`

// requests makes up the log of an API: ten requests a second, of many clients.
type requests struct {
	at   time.Time
	rand *rand.Rand
	n    int // made up
}

func newRequests() *requests {
	return &requests{at: time.Now().Add(-6 * time.Hour).Truncate(time.Minute), rand: rand.New(rand.NewPCG(1, 2))}
}

// put writes d of requests on two endpoints, to the first one with so many times the latency.
func (q *requests) put(t *testing.T, s *site, d time.Duration, slower float64) {
	t.Helper()
	clients := subjects()
	var recs []*kgo.Record
	for end := q.at.Add(d); q.at.Before(end); q.at = q.at.Add(100 * time.Millisecond) {
		path, ms := "/a", 20*math.Exp(q.rand.NormFloat64()/4)*slower
		if q.n++; q.n%2 == 0 {
			path, ms = "/b", 5*math.Exp(q.rand.NormFloat64()/4)
		}
		ip := clients[q.rand.IntN(len(clients))]
		recs = append(recs, &kgo.Record{Topic: s.cfg.Topics.Logs, Key: []byte(ip), Value: fmt.Appendf(nil,
			`{"client_ip":%q,"method":"GET","path":%q,"status":200,"latency_ms":%g,"timestamp":%q}`, ip, path, ms, q.at.UTC().Format(time.RFC3339Nano))})
	}
	for some := range slices.Chunk(recs, 5000) {
		if err := s.cl.ProduceSync(t.Context(), some...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// summaries gives the summaries there are, each once, and how many came again; those
// have to be the same.
func (s *site) summaries(t *testing.T) (all []schemas.Summary, again int) {
	t.Helper()
	texts := make(map[string]string)
	for _, r := range s.read(t, s.cfg.Topics.EndpointStats) {
		if r.Key == nil {
			continue
		}
		var sum schemas.Summary
		if err := schemas.DecodeSummary(r.Value, &sum); err != nil {
			t.Fatal(err)
		}
		if string(r.Key) != sum.Endpoint {
			t.Errorf("the summary of %s is keyed %q", sum.Endpoint, r.Key)
		}
		id := fmt.Sprint(sum.Partition, sum.Start, sum.View, sum.Endpoint)
		if text, known := texts[id]; known {
			again++
			if text != string(r.Value) {
				t.Errorf("of a bucket there are two summaries:\n%s\n%s", text, r.Value)
			}
			continue
		}
		texts[id] = string(r.Value)
		all = append(all, sum)
	}
	return all, again
}

// wantSummarized wants so many requests in the summaries, each in one.
func (s *site) wantSummarized(t *testing.T, want int) {
	t.Helper()
	all, _ := s.summaries(t)
	requests := int64(0)
	for _, sum := range all {
		requests += sum.Requests
	}
	if requests != int64(want) {
		t.Errorf("%d of %d requests are in summaries", requests, want)
	}
}

// wantSlow wants one episode on /a, that has ended.
func (s *site) wantSlow(t *testing.T) {
	t.Helper()
	phases := make(map[schemas.Phase]int)
	ids := make(map[string]bool)
	for _, v := range s.verdicts(t) {
		if ids[v.VerdictID] {
			continue
		}
		ids[v.VerdictID] = true
		phases[v.Phase]++
		if v.Subject != "GET /a" || v.Scope != schemas.ScopeEndpoint || v.RuleID != "slow" || v.Trigger != nil {
			t.Errorf("the verdict is %+v", v)
		}
	}
	if phases[schemas.PhaseOpen] != 1 || phases[schemas.PhaseClose] != 1 || len(ids) != 2 {
		t.Errorf("verdicts by phase %v, want one that opens and one that closes", phases)
	}
}

// TestASlowEndpointIsToldOnce: its clients are spread over the partitions of the log.
func TestASlowEndpointIsToldOnce(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, latencyRule, kgo.AutoCommitInterval(24*time.Hour))
		r := s.stats(t, latencyRule)
		q := newRequests()
		q.put(t, s, 30*time.Minute, 1)
		q.put(t, s, 3*time.Minute, 8)
		q.put(t, s, 10*time.Minute, 1)
		time.Sleep(time.Minute)
		s.wantSlow(t)
		all, again := s.summaries(t)
		if n := int(testutil.ToFloat64(d.metrics.Summaries)); n != len(all) || again != 0 {
			t.Errorf("%d summaries are counted as written, there are %d and %d again", n, len(all), again)
		}
		requests, partitions := int64(0), make(map[int32]bool)
		for _, sum := range all {
			requests += sum.Requests
			partitions[sum.Partition] = true
		}
		if open := int64(q.n) - requests; open != 0 || len(partitions) != 4 {
			t.Errorf("a minute after the last one, %d of %d requests are in no summary, those of %d partitions are", open, q.n, len(partitions))
		}
		if n := r.read(readLate, readRepeated, readNoView, readNoRoom, readOther, readUnreadable); n != 0 {
			t.Errorf("%d records were not merged", n)
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		report := s.verify(t, latencyRule, VerifyOptions{})
		if p := report.Places[0]; report.Differences != 0 || report.Expected != 0 || p.Foreign != 2 {
			t.Errorf("verify compares verdicts of learned rules: %+v", report)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		learned, err := ReadLearned(t.Context(), s.cfg, Deps{Program: program(t, latencyRule), Log: s.log, Kafka: []kgo.Opt{kgo.Dialer(s.net.DialContext)}})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range learned {
			names = append(names, e.Endpoint)
			if l := e.Latency; l == nil || l.Samples < 100 || !(l.P50 > 3 && l.P50 < 30 && l.P50 < l.P99) {
				t.Errorf("of %s is known: %+v", e.Endpoint, l)
			}
		}
		if !slices.Equal(names, []string{"GET /a", "GET /b"}) {
			t.Errorf("something is known of %q", names)
		}
	})
}

// TestSeldomEventsAreInTime: where a partition of the log has an event each minute and a half, none
// comes too late to be judged with those of the others.
func TestSeldomEventsAreInTime(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.detect(t, latencyRule)
		r := s.stats(t, latencyRule)
		cl := s.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for second := range 300 {
			for p := range int32(4) {
				if ip := subjects()[p]; p > 0 || second%90 == 5 {
					if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: s.cfg.Topics.Logs, Partition: p, Key: []byte(ip), Value: []byte(event(ip, "/a"))}).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Minute)
		if n := r.read(readLate, readRepeated, readNoRoom); n != 0 {
			t.Errorf("%d summaries came too late", n)
		}
		if all, again := s.summaries(t); again != 0 || len(all) < 50 {
			t.Errorf("%d summaries, %d again", len(all), again)
		}
	})
}

// TestSummariesSurviveRestartsAndCrashes: whatever happens to those who write them, of
// each bucket there is the same.
func TestSummariesSurviveRestartsAndCrashes(t *testing.T) {
	story := func(t *testing.T, s *site, between func(n int)) (texts []string, again int) {
		s.stats(t, latencyRule)
		q := newRequests()
		for n, slower := range []float64{1, 1, 1, 8, 1} {
			d := 10*time.Minute + time.Duration(n)*3*time.Second
			if slower > 1 {
				d = 3 * time.Minute
			}
			q.put(t, s, d, slower)
			between(n)
		}
		time.Sleep(2 * time.Minute)
		s.wantSlow(t)
		all, again := s.summaries(t)
		for i := range all {
			texts = append(texts, string(schemas.AppendSummary(nil, &all[i])))
		}
		slices.Sort(texts)
		return texts, again
	}
	seldom := kgo.AutoCommitInterval(24 * time.Hour)
	var want []string
	atSite(t, func(t *testing.T, s *site) {
		s.detect(t, latencyRule, seldom)
		want, _ = story(t, s, func(int) { time.Sleep(10 * time.Second) })
	})
	for name, between := range map[string]func(*testing.T, *site) func(int){
		"restarts": func(t *testing.T, s *site) func(int) {
			d := s.detect(t, latencyRule, seldom)
			return func(n int) {
				time.Sleep(time.Duration(n) * 3 * time.Second)
				if err := d.stop(); err != nil {
					t.Fatal(err)
				}
				d = s.detect(t, latencyRule, seldom)
			}
		},
		"crashes": func(t *testing.T, s *site) func(int) {
			begin := func() (*wire, *running) {
				w := &wire{dial: s.net.DialContext}
				return w, s.detect(t, latencyRule, kgo.Dialer(w.Dial), seldom)
			}
			w, d := begin()
			return func(n int) {
				time.Sleep(time.Duration(n)*4*time.Second + 300*time.Millisecond)
				w.cut()
				if err := d.stop(); err != nil {
					t.Fatal(err)
				}
				w, d = begin()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(t *testing.T, s *site) {
				s.cfg.State.Interval = schemas.Duration(5 * time.Second)
				got, again := story(t, s, between(t, s))
				if name == "restarts" && again > 0 {
					t.Errorf("%d summaries are written again", again)
				}
				if !slices.Equal(got, want) {
					t.Errorf("there are %d summaries, %d when nothing happens, or others", len(got), len(want))
				}
			})
		})
	}
}

// TestStateWithoutOpenSummaries: who crashes before they were ever written leaves all
// other snapshots. They are made anew of the log then.
func TestStateWithoutOpenSummaries(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(5 * time.Second)
		d := s.detect(t, latencyRule)
		q := newRequests()
		q.put(t, s, 5*time.Minute, 1)
		time.Sleep(20 * time.Second)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		cl := s.client(t, sink.StateOpts()...)
		for n := range int32(4) {
			for slot := range wholeSlots {
				key := fmt.Appendf(nil, "%s/%s/%d/%d/%d/0", s.cfg.Kafka.Group, s.cfg.Topics.Logs, n, s.cfg.State.Shards, slot)
				if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: s.cfg.Topics.State, Partition: n, Key: key}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
		d = s.detect(t, latencyRule)
		q.put(t, s, 5*time.Minute, 1)
		time.Sleep(time.Minute)
		s.wantSummarized(t, q.n) // what the clock had closed is there again
		if n := testutil.ToFloat64(d.metrics.SnapshotsUnusable); n != 0 {
			t.Errorf("%v snapshots could not be used", n)
		}
	})
}

// TestLearnedRulesAreAdopted: they come with a reload, and nothing is said on the topic
// of summaries before.
func TestLearnedRulesAreAdopted(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, over3, kgo.AutoCommitInterval(24*time.Hour))
		r := s.stats(t, over3)
		q := newRequests()
		q.put(t, s, 10*time.Minute, 1)
		time.Sleep(10 * time.Second)
		if n := len(s.read(t, s.cfg.Topics.EndpointStats)); n != 0 {
			t.Errorf("%d records are written for rules that learn nothing", n)
		}
		both := over3 + "  - {id: slow, type: latency, action: alert}\n"
		if err := d.Adopt(program(t, both)); err != nil {
			t.Fatal(err)
		}
		r.Adopt(program(t, both))
		time.Sleep(10 * time.Second)
		q.put(t, s, 10*time.Minute, 1)
		q.put(t, s, 3*time.Minute, 8)
		time.Sleep(30 * time.Second)
		// Another one that looks at the same, and one that does not.
		more := both + "  - {id: slow-too, type: latency, sensitivity: low, action: log}\n  - {id: service, type: latency, group_by: [service, endpoint], action: log}\n"
		if err := d.Adopt(program(t, more)); err != nil {
			t.Fatal(err)
		}
		r.Adopt(program(t, more))
		q.put(t, s, 10*time.Minute, 1)
		time.Sleep(time.Minute)
		told := make(map[string]int)
		for _, v := range s.verdicts(t) {
			if v.EpisodeID != "" {
				told[fmt.Sprint(v.RuleID, " ", v.Phase)]++
			}
		}
		if told["slow open"] != 1 || told["slow close"] != 1 || len(told) != 2 {
			t.Errorf("verdicts of learned rules: %v, want one episode of slow", told)
		}
	})
}

// TestLearnedRulesAreAdoptedWithoutPartitions: who has none, there being more members than
// partitions, has not looked for the topic, and does not take it for missing.
func TestLearnedRulesAreAdoptedWithoutPartitions(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		var members []*running
		for range s.cfg.Kafka.Partitions + 1 {
			members = append(members, s.begin(t, over3, kgo.AutoCommitInterval(24*time.Hour)))
		}
		time.Sleep(30 * time.Second)
		for i, m := range members {
			if err := m.Adopt(program(t, latencyRule)); err != nil {
				t.Errorf("member %d: %v", i, err)
			}
		}
	})
}

// TestMorePartitionsOfSummariesAreMarked: all of them have the marks, also of logs whose
// partitions stay where they are.
func TestMorePartitionsOfSummariesAreMarked(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.detect(t, latencyRule, kgo.AutoCommitInterval(24*time.Hour))
		q := newRequests()
		q.put(t, s, 5*time.Minute, 1)
		time.Sleep(10 * time.Second)
		if _, err := s.adm.CreatePartitions(t.Context(), 3, s.cfg.Topics.EndpointStats); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute) // the client looks every five
		q.put(t, s, 10*time.Minute, 1)
		time.Sleep(10 * time.Second)
		marked := make(map[int32]bool)
		for _, r := range s.read(t, s.cfg.Topics.EndpointStats) {
			if r.Key == nil {
				marked[r.Partition] = true
			}
		}
		if want := int(s.cfg.Kafka.Partitions) + 3; len(marked) != want {
			t.Errorf("%d partitions have marks, want %d", len(marked), want)
		}
	})
}

// TestSummariesOfATopicThatIsNew: a broker that has not heard of the topic yet, as happens
// right after it was created, is no reason to write none.
func TestSummariesOfATopicThatIsNew(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.begin(t, latencyRule)
		f := s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: s.cfg.Topics.EndpointStats, Err: kerr.UnknownTopicOrPartition, Count: -1, When: func(r kmsg.Request) bool {
			return len(r.(*kmsg.MetadataRequest).Topics) == 2 // the look at both topics when partitions are assigned
		}})
		time.Sleep(10 * time.Second)
		if f.Hits() == 0 {
			t.Error("nobody has looked for the topic")
		}
		f.Remove()
		d.await(t)
		q := newRequests()
		q.put(t, s, 10*time.Minute, 1)
		time.Sleep(time.Minute)
		s.wantSummarized(t, q.n)
	})
}

// TestLearnedRulesNeedTheirTopic: detection does not stop for want of it.
func TestLearnedRulesNeedTheirTopic(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		if _, err := s.adm.DeleteTopics(t.Context(), s.cfg.Topics.EndpointStats); err != nil {
			t.Fatal(err)
		}
		s.cfg.Kafka.CreateTopics = false
		d := s.detect(t, over3)
		if err := d.Adopt(program(t, latencyRule)); err == nil || !strings.Contains(err.Error(), s.cfg.Topics.EndpointStats) {
			t.Errorf("learned rules are adopted: %v", err)
		}
		reg := newRegistry()
		other, err := NewDetect(s.cfg, Deps{
			Program: program(t, latencyRule), Log: s.log, Metrics: NewMetrics(reg), Sink: sink.NewMetrics(reg), Kafka: []kgo.Opt{kgo.Dialer(s.net.DialContext)},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Run(t.Context()); !sink.IsPermanent(err) || !strings.Contains(err.Error(), s.cfg.Topics.EndpointStats) {
			t.Errorf("detect runs without the topic: %v", err)
		}
	})
}
