package consumer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// errorShare judges the shares of statuses of each endpoint.
const errorShare = `
version: 1
rules:
  - {id: errors, type: status_mix, action: alert}
`

// runningStats is a Stats that runs.
type runningStats struct {
	*Stats
	metrics *Metrics
	stop    func() error // waits for the end; may be called again
}

// stats starts a Stats. It commits when it has to: see TestCountsSurviveCrashes.
func (s *site) stats(t *testing.T, rules string, more ...kgo.Opt) *runningStats {
	t.Helper()
	reg := newRegistry()
	r := &runningStats{metrics: NewMetrics(reg)}
	var err error
	r.Stats, err = NewStats(s.cfg, Deps{
		Program: program(t, rules), Log: s.log, Metrics: r.metrics, Sink: sink.NewMetrics(reg),
		Kafka: append([]kgo.Opt{kgo.Dialer(s.net.DialContext), kgo.AutoCommitInterval(24 * time.Hour)}, more...),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// read is how many records of the topic endpoint_stats had an outcome.
func (r *runningStats) read(outcomes ...string) int {
	n := 0.0
	for _, o := range outcomes {
		n += testutil.ToFloat64(r.metrics.StatsRead.WithLabelValues(o))
	}
	return int(n)
}

// traffic makes up what two partitions of a log of three say, of many endpoints, without
// the log: the third one has nothing to say.
type traffic struct {
	view  string
	since int64 // s since the epoch
	at    int64 // how far it is, s since since
	third bool  // has something to say too
}

const (
	learnHours = 30 // of traffic, until a share that rises is told
	endpoints  = 8
)

// newTraffic begins so long before now that it ends before it.
func newTraffic(t *testing.T, rules string) *traffic {
	t.Helper()
	now := time.Now().Unix()
	return &traffic{view: program(t, rules).Views()[0].ID, since: now - now%300 - 40*3600}
}

func endpointName(i int) string { return fmt.Sprintf("GET /e%d", i) }

// put writes d more of traffic, where one of so many requests fails; every bucket of 30 s
// has some.
func (f *traffic) put(t *testing.T, s *site, d time.Duration, failing func(endpoint int) int64) {
	t.Helper()
	cl := s.client(t, sink.SummaryOpts(s.cfg.Topics.EndpointStats, func(int) {}))
	defer cl.Close()
	logs := []int32{0, 1}
	if f.third {
		logs = append(logs, 2)
	}
	var recs []*kgo.Record
	for end := f.at + int64(d.Seconds()); f.at < end; f.at += 30 {
		start := f.since + f.at
		for _, p := range logs {
			for e := range endpoints {
				sum := schemas.Summary{
					Version: schemas.SummaryVersion, View: f.view, Endpoint: endpointName(e), Topic: s.cfg.Topics.Logs, Partition: p,
					Start: start, Requests: 100, Clients: []uint32{uint32(p), uint32(100 + e)},
				}
				sum.Classes[4] = failing(e) + start/30%2
				sum.Classes[1] = 100 - sum.Classes[4]
				recs = append(recs, sink.SummaryRecord(s.cfg.Topics.EndpointStats, &sum))
			}
		}
		for _, p := range logs {
			recs = append(recs, sink.MarkRecords(s.cfg.Topics.EndpointStats, &schemas.SummaryMark{
				Version: schemas.SummaryVersion, Topic: s.cfg.Topics.Logs, Partition: p, Partitions: 3, Closed: start + 30,
				Traffic: []schemas.BucketTraffic{{Start: start, Requests: 100 * endpoints}},
			}, int(s.cfg.Kafka.Partitions))...)
		}
	}
	for some := range slices.Chunk(recs, 5000) {
		if err := cl.ProduceSync(t.Context(), some...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func few(int) int64 { return 1 }

// many fails on one endpoint alone.
func many(on int) func(int) int64 {
	return func(e int) int64 {
		if e == on {
			return 60
		}
		return 1
	}
}

// episodes gives the verdicts there are by endpoint and phase, each id once, and how
// many came again.
func (s *site) episodes(t *testing.T) (told map[string]int, again int) {
	t.Helper()
	told = make(map[string]int)
	ids := make(map[string]bool)
	for _, v := range s.verdicts(t) {
		if ids[v.VerdictID] {
			again++
			continue
		}
		ids[v.VerdictID] = true
		told[v.Subject+" "+string(v.Phase)]++
		if v.Trigger != nil || v.RuleID != "errors" || v.Scope != schemas.ScopeEndpoint || v.DetectedAt == 0 || v.EpisodeID == "" {
			t.Errorf("the verdict is %+v", v)
		}
	}
	return told, again
}

// wantEpisodes wants one episode, that has ended, of each endpoint.
func (s *site) wantEpisodes(t *testing.T, on ...int) {
	t.Helper()
	told, _ := s.episodes(t)
	for _, e := range on {
		for _, phase := range []schemas.Phase{schemas.PhaseOpen, schemas.PhaseClose} {
			key := endpointName(e) + " " + string(phase)
			if told[key] != 1 {
				t.Errorf("%d verdicts %q, want one", told[key], key)
			}
			delete(told, key)
		}
	}
	if len(told) > 0 {
		t.Errorf("beside them there are verdicts %v", told)
	}
}

func TestEpisodesAreToldOnce(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		r := s.stats(t, errorShare)
		f := newTraffic(t, errorShare)
		f.put(t, s, learnHours*time.Hour, few)
		f.put(t, s, 30*time.Minute, many(3))
		f.put(t, s, time.Hour, few)
		time.Sleep(2 * time.Minute) // the third partition says nothing
		s.wantEpisodes(t, 3)
		if n := r.read(readLate, readRepeated, readNoView, readNoRoom, readOther, readUnreadable); n != 0 {
			t.Errorf("%d records were not merged", n)
			for _, o := range []string{readMerged, readMark, readLate, readRepeated, readNoView, readNoRoom, readOther, readUnreadable} {
				t.Log(o, r.read(o))
			}
		}
		if n := testutil.ToFloat64(r.metrics.Endpoints); n < endpoints || n > 2*endpoints {
			t.Errorf("%v endpoints are learned, want %d and perhaps pools", n, endpoints)
		}
		if n := testutil.ToFloat64(r.metrics.Verdicts.WithLabelValues("errors", "alert")); n != 2 {
			t.Errorf("%v verdicts are counted, want 2", n)
		}
	})
}

// TestAnIdlePartitionIsWaitedForNoLongerThanTheGrace: one of three partitions of the log
// says nothing.
func TestAnIdlePartitionIsWaitedForNoLongerThanTheGrace(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		r := s.stats(t, errorShare)
		f := newTraffic(t, errorShare)
		f.put(t, s, 10*time.Minute, few)
		time.Sleep(20 * time.Second)
		if n := r.closings(t); n != 0 {
			t.Errorf("buckets were judged %d times before the grace had passed", n)
		}
		time.Sleep(15 * time.Second)
		if n := r.closings(t); n == 0 {
			t.Error("no bucket is judged after the grace")
		}
		f.third = true
		f.put(t, s, 10*time.Minute, few)
		time.Sleep(3 * time.Second)
		if n, late := r.read(readMerged), r.read(readLate); n != 20*endpoints*5 || late != 0 {
			t.Errorf("%d summaries are merged and %d late, want %d", n, late, 20*endpoints*5)
		}
		s.stats(t, errorShare) // another member, which has some of the partitions
		time.Sleep(10 * time.Second)
		if n := r.read(readLate, readUnreadable); n != 0 {
			t.Errorf("%d records were not merged", n)
		}
	})
}

// closings is how often buckets were judged.
func (r *runningStats) closings(t *testing.T) uint64 {
	t.Helper()
	var m dto.Metric
	if err := r.metrics.StatsCloseDelay.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetHistogram().GetSampleCount()
}

// TestWhatIsLearnedSurvives: members come, go, and vanish, and what is told of an endpoint
// is what one that stays would have told.
func TestWhatIsLearnedSurvives(t *testing.T) {
	parts := []time.Duration{11 * time.Hour, 9*time.Hour + 70*time.Second, 10 * time.Hour}
	// story has what happens happen, with something else between its parts.
	story := func(t *testing.T, s *site, between func(n int)) []string {
		f := newTraffic(t, errorShare)
		f.third = true
		for n, d := range parts {
			f.put(t, s, d, few)
			between(n)
		}
		f.put(t, s, 30*time.Minute, many(5))
		between(len(parts))
		f.put(t, s, time.Hour, few)
		between(len(parts) + 1)
		time.Sleep(3 * time.Minute)
		var ids []string
		for _, v := range s.verdicts(t) {
			ids = append(ids, v.VerdictID)
		}
		slices.Sort(ids)
		return slices.Compact(ids)
	}
	var want []string
	atSite(t, func(t *testing.T, s *site) {
		s.stats(t, errorShare)
		want = story(t, s, func(int) { time.Sleep(10 * time.Second) })
		s.wantEpisodes(t, 5)
	})
	for name, between := range map[string]func(*testing.T, *site) func(int){
		"restarts": func(t *testing.T, s *site) func(int) {
			r := s.stats(t, errorShare)
			return func(n int) {
				time.Sleep(time.Duration(n) * 5 * time.Second)
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				r = s.stats(t, errorShare)
			}
		},
		"crashes": func(t *testing.T, s *site) func(int) {
			begin := func() (*wire, *runningStats) {
				w := &wire{dial: s.net.DialContext}
				return w, s.stats(t, errorShare, kgo.Dialer(w.Dial))
			}
			w, r := begin()
			return func(n int) {
				time.Sleep(time.Duration(n)*20*time.Second + time.Second)
				w.cut()
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				w, r = begin()
			}
		},
		"others come and go": func(t *testing.T, s *site) func(int) {
			members := []*runningStats{s.stats(t, errorShare)}
			return func(n int) {
				members = append(members, s.stats(t, errorShare))
				time.Sleep(10 * time.Second)
				if n%2 == 1 {
					if err := members[0].stop(); err != nil {
						t.Fatal(err)
					}
					members = members[1:]
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(t *testing.T, s *site) {
				s.cfg.State.Interval = schemas.Duration(5 * time.Second)
				got := story(t, s, between(t, s))
				if !slices.Equal(got, want) {
					t.Errorf("the verdicts %v, want %v", got, want)
				}
			})
		})
	}
}

// TestRecordsThatAreNoSummaries: whatever somebody writes there, it is skipped.
func TestRecordsThatAreNoSummaries(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		r := s.stats(t, errorShare)
		f := newTraffic(t, errorShare)
		f.third = true
		f.put(t, s, 5*time.Minute, few)
		far := time.Now().Add(48*time.Hour).Unix() / 10 * 10
		mark := schemas.SummaryMark{Version: schemas.SummaryVersion, Topic: s.cfg.Topics.Logs, Partitions: 3, Closed: far}
		sum := schemas.Summary{Version: schemas.SummaryVersion, View: f.view, Endpoint: "GET /", Topic: s.cfg.Topics.Logs, Start: far, Requests: 1}
		other, foreign, unseen, repeated := sum, sum, sum, sum
		other.Version, foreign.Topic = 9, "another"
		foreign.Start, unseen.Start, unseen.View = f.since, f.since+f.at, "another"
		repeated.Start, repeated.Endpoint = f.since, endpointName(0)
		recs := []*kgo.Record{{Key: []byte("k"), Value: []byte("garbage")}, {Value: []byte("garbage")}, {Key: []byte("k")}, {}}
		recs = append(recs, sink.MarkRecords("", &mark, 1)...)
		for _, x := range []schemas.Summary{sum, other, foreign, unseen, repeated} {
			recs = append(recs, sink.SummaryRecord("", &x))
		}
		for _, rec := range recs {
			rec.Topic = s.cfg.Topics.EndpointStats
		}
		if err := s.cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		f.put(t, s, 5*time.Minute, few)
		time.Sleep(5 * time.Second)
		for outcome, want := range map[string]int{readUnreadable: 6, readOther: 2, readNoView: 1, readLate: 1, readMerged: 20 * 3 * endpoints} {
			if n := r.read(outcome); n != want {
				t.Errorf("%d records are %s, want %d", n, outcome, want)
			}
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		have, err := s.adm.FetchOffsets(t.Context(), r.Group())
		if err != nil {
			t.Fatal(err)
		}
		var committed int64
		for _, o := range have.Sorted() {
			committed += o.At
		}
		if n := int64(len(s.read(t, s.cfg.Topics.EndpointStats))); committed != n {
			t.Errorf("%d of %d records are committed", committed, n)
		}
	})
}

// TestStatsWithoutTheStateTopic: what cannot be kept is told all the same.
func TestStatsWithoutTheStateTopic(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(5 * time.Second)
		r := s.stats(t, errorShare)
		f := newTraffic(t, errorShare)
		f.third = true
		f.put(t, s, learnHours*time.Hour, few)
		time.Sleep(10 * time.Second)
		s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.cfg.Topics.State, Err: kerr.NotLeaderForPartition, Count: 1 << 20})
		f.put(t, s, 30*time.Minute, many(2))
		time.Sleep(time.Minute)
		f.put(t, s, time.Hour, few)
		time.Sleep(time.Minute)
		s.wantEpisodes(t, 2)
		if n := testutil.ToFloat64(r.metrics.SnapshotFailures); n < 2 || n > 10 {
			t.Errorf("%v snapshots failed, want one each half minute", n)
		}
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Duration(s.cfg.ShutdownTimeout) {
			t.Errorf("the stop took %v", took)
		}
	})
}
