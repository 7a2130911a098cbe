package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/sink"
)

// raise sets the largest message that a topic takes.
func (s *site) raise(t *testing.T, topic string, bytes int) {
	t.Helper()
	value := fmt.Sprint(bytes)
	_, err := s.adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, topic)
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsCommittedBeforeEverythingIsAcknowledged(t *testing.T) {
	for name, topic := range map[string]string{"verdicts": "api-verdicts", "bans": "api-bans", "dead letters": "api-logs-dlq"} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(t *testing.T, s *site) {
				d := s.detect(t, banAfter3)
				fault := s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.NotEnoughReplicas, Count: -1})
				s.put(t, "192.0.2.1", event("192.0.2.1", "/a"), event("192.0.2.1", "/a"), event("192.0.2.1", "/a"), event("192.0.2.1", "/a"), "poison")
				time.Sleep(30 * time.Second)
				if n := s.uncommitted(t); n != 5 {
					t.Errorf("%d of 5 records are uncommitted while %s are not acknowledged", n, topic)
				}
				if lag, ok := lagOf(t, d, "apiwarden_consumer_lag_seconds"); !ok || lag < 29 {
					t.Errorf("the lag is %v s while the loop waits, want about 30", lag)
				}
				fault.Remove()
				time.Sleep(10 * time.Second)
				if n := s.uncommitted(t); n != 0 {
					t.Errorf("%d records are uncommitted after everything is acknowledged", n)
				}
				if lag, ok := lagOf(t, d, "apiwarden_consumer_lag_seconds"); !ok || lag != 0 {
					t.Errorf("the lag is %v s, want 0", lag)
				}
				if v, l := len(s.verdicts(t)), len(s.read(t, s.cfg.Topics.DLQ)); v != 1 || l != 1 {
					t.Errorf("%d verdicts and %d dead letters, want one of each", v, l)
				}
			})
		})
	}
}

// lagOf gives the largest value of a gauge over all partitions.
func lagOf(t *testing.T, d *running, name string) (float64, bool) {
	t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	largest, found := 0.0, false
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				largest, found = max(largest, m.GetGauge().GetValue()), true
			}
		}
	}
	return largest, found
}

func TestFaultsThatPass(t *testing.T) {
	for name, disturb := range map[string]func(s *site){
		"produce is refused with every kind of error": func(s *site) {
			for _, e := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownServerError, kerr.RequestTimedOut, kerr.CorruptMessage, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition} {
				s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "api-verdicts", Err: e, Count: 2})
			}
		},
		"fetch is refused": func(s *site) {
			for _, e := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownServerError, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.OffsetNotAvailable} {
				s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "api-logs", Err: e, Count: 3})
			}
		},
		"commits are refused": func(s *site) {
			for _, e := range []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.UnknownServerError} {
				s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: e, Count: 3})
			}
		},
		"the coordinator is lost": func(s *site) {
			s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat}, Err: kerr.NotCoordinator, Count: 3})
			s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: 3})
		},
		"connections are dropped": func(s *site) {
			for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.OffsetCommit, kmsg.Metadata} {
				s.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, errors.New("dropped"), true })
			}
		},
		"acknowledgements are slow": func(s *site) {
			s.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
				s.KeepControl()
				s.SleepControl(func() { time.Sleep(300 * time.Millisecond) })
				return nil, nil, false
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachProtocol(t, func(t *testing.T, s *site) {
				d := s.detect(t, everyEvent)
				s.hits(t, 50)
				time.Sleep(time.Second)
				disturb(s)
				for range 20 {
					s.hits(t, 5)
					time.Sleep(time.Second)
				}
				time.Sleep(20 * time.Second)
				s.wantAll(t, 150)
				if err := d.stop(); err != nil {
					t.Fatal(err)
				}
				if n := s.uncommitted(t); n != 0 {
					t.Errorf("%d records are not committed after a clean stop", n)
				}
			})
		})
	}
}

// wantAll: every event has a verdict, and there are n; some may have it twice.
func (s *site) wantAll(t *testing.T, n int) {
	t.Helper()
	ids := make(map[string]bool)
	for _, v := range s.verdicts(t) {
		ids[v.VerdictID] = true
	}
	if len(ids) != n {
		t.Errorf("%d verdicts, want %d", len(ids), n)
	}
}

func TestLostMembershipCommitsNothingAndGoesOn(t *testing.T) {
	eachProtocol(t, func(t *testing.T, s *site) {
		s.detect(t, everyEvent)
		for range 3 {
			s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID})
			s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ConsumerGroupHeartbeat}, Err: kerr.FencedMemberEpoch})
			for range 10 {
				s.hits(t, 10)
				time.Sleep(time.Second)
			}
		}
		time.Sleep(5 * time.Second)
		s.wantAll(t, 300)
		if n := s.uncommitted(t); n != 0 {
			t.Errorf("%d records are not committed", n)
		}
	})
}

func TestMembersComeAndGo(t *testing.T) {
	eachProtocol(t, func(t *testing.T, s *site) {
		var producing sync.WaitGroup
		const rounds = 120
		producing.Go(func() {
			for range rounds {
				s.hits(t, 10)
				time.Sleep(500 * time.Millisecond)
			}
		})
		// The client's periodic commit waits for a join on a mutex, which no bubble's
		// clock passes: commits on revocation and at the end have to do here.
		seldom := kgo.AutoCommitInterval(time.Hour)
		a := s.detect(t, everyEvent, seldom)
		time.Sleep(10 * time.Second)
		b := s.detect(t, everyEvent, seldom)
		time.Sleep(10 * time.Second)
		if pa, pb := partitionsOf(a), partitionsOf(b); pa != 2 || pb != 2 {
			t.Errorf("%d and %d of four partitions, want two each", pa, pb)
		}
		if err := a.stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		c := s.detect(t, everyEvent, seldom)
		producing.Wait()
		time.Sleep(2 * time.Second)
		for _, d := range []*running{b, c} {
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
		}
		s.wantEachOnce(t, rounds*10)
		if n := s.uncommitted(t); n != 0 {
			t.Errorf("%d records are not committed", n)
		}
	})
}

func partitionsOf(d *running) int { return testutil.CollectAndCount(d.metrics.Lag) / 2 }

func TestStopWhileNothingIsAcknowledged(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, everyEvent)
		s.hits(t, 10)
		time.Sleep(2 * time.Second)
		s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "api-verdicts", Err: kerr.NotEnoughReplicas, Count: -1})
		s.hits(t, 10)
		time.Sleep(2 * time.Second)
		begin := time.Now()
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > time.Duration(s.cfg.ShutdownTimeout) {
			t.Errorf("the stop took %s", took)
		}
		if n := s.uncommitted(t); n != 10 {
			t.Errorf("%d records are uncommitted, want the 10 whose verdicts are not acknowledged", n)
		}
	})
}

func TestStopWhileTheBrokersAreGone(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, everyEvent)
		s.hits(t, 10)
		time.Sleep(2 * time.Second)
		s.Close()
		time.Sleep(time.Minute)
		begin := time.Now()
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > time.Duration(s.cfg.ShutdownTimeout) {
			t.Errorf("the stop took %s", took)
		}
	})
}

func TestStopWhileKafkaWasNeverThere(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d := s.unstarted(t, everyEvent)
		if err := d.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if ok, why := d.Ready(); ok || why != "detect: waiting for Kafka" {
			t.Errorf("ready: %v, %q", ok, why)
		}
	})
}

func (s *site) unstarted(t *testing.T, rules string) *Detect {
	t.Helper()
	r := newRegistry()
	d, err := NewDetect(s.cfg, Deps{Program: program(t, rules), Log: zap.NewNop(), Metrics: NewMetrics(r), Sink: sink.NewMetrics(r), Kafka: []kgo.Opt{kgo.Dialer(s.net.DialContext)}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestMissingTopicsAreNamed(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.Kafka.CreateTopics = false
		s.cfg.Topics.Verdicts = "no-such-topic"
		err := s.unstarted(t, everyEvent).Run(t.Context())
		if !sink.IsPermanent(err) || err.Error() != "looking for topics: no-such-topic missing (create them, or set kafka.create_topics: true)" {
			t.Errorf("got %v", err)
		}
	})
}

func TestInputTopicCreatedAnew(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, everyEvent)
		s.hits(t, 50)
		time.Sleep(3 * time.Second)
		if _, err := s.adm.DeleteTopic(t.Context(), s.cfg.Topics.Logs); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if _, err := s.adm.CreateTopic(t.Context(), 4, 1, nil, s.cfg.Topics.Logs); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		s.cl.PurgeTopicsFromClient(s.cfg.Topics.Logs)
		before := len(s.verdicts(t))
		s.hits(t, 50)
		time.Sleep(2 * time.Minute)
		if got := len(s.verdicts(t)) - before; got != 50 {
			t.Errorf("%d verdicts for the 50 events of the new topic", got)
		}
		d.await(t)
	})
}

// TestATurnThatFailsIsNotRemembered: detect ends because its verdicts are refused. What
// it has counted of those records is in no snapshot.
func TestATurnThatFailsIsNotRemembered(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.unstarted(t, over3)
		ended := make(chan error, 1)
		go func() { ended <- d.Run(t.Context()) }()
		r := &running{Detect: d}
		r.await(t)
		for range 2 {
			s.each(t, "/a")
		}
		time.Sleep(2 * time.Second)
		s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.cfg.Topics.Verdicts, Err: kerr.TopicAuthorizationFailed, Count: 1})
		for range 2 {
			s.each(t, "/a")
		}
		if err := <-ended; err == nil {
			t.Fatal("verdicts are refused, and detect ends without an error")
		}
		time.Sleep(time.Minute)
		s.detect(t, over3)
		time.Sleep(5 * time.Second)
		s.wantOneEach(t)
	})
}
