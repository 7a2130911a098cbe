package consumer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

func protocols() []string { return []string{sink.GroupClassic, sink.GroupConsumer} }

// eachProtocol runs a test in fake time with each protocol of groups.
func eachProtocol(t *testing.T, test func(*testing.T, *site)) {
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			atSite(t, func(t *testing.T, s *site) {
				s.cfg.Kafka.GroupProtocol = protocol
				test(t, s)
			})
		})
	}
}

// TestStaticMemberStops: it stays in its group, everything it has finished is
// committed, and after a restart it goes on where it was.
func TestStaticMemberStops(t *testing.T) {
	eachProtocol(t, func(t *testing.T, s *site) {
		s.cfg.Kafka.InstanceID = "one"
		var left atomic.Int32
		for _, key := range []kmsg.Key{kmsg.LeaveGroup, kmsg.ConsumerGroupHeartbeat} {
			s.ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
				s.KeepControl()
				if hb, ok := r.(*kmsg.ConsumerGroupHeartbeatRequest); !ok || hb.MemberEpoch == -1 {
					left.Add(1)
				}
				return nil, nil, false
			})
		}
		for range 3 {
			d := s.detect(t, everyEvent, kgo.AutoCommitInterval(time.Hour))
			s.hits(t, 100)
			time.Sleep(3 * time.Second)
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
			if n := s.uncommitted(t); n != 0 {
				t.Errorf("%d records are not committed after a clean stop", n)
			}
			time.Sleep(5 * time.Second)
		}
		s.wantEachOnce(t, 300)
		if n := left.Load(); n != 0 {
			t.Errorf("the member has left its group %d times", n)
		}
	})
}

// TestTwoProcessesWithOneName: the one that another one has replaced ends and says why.
func TestTwoProcessesWithOneName(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.Kafka.InstanceID = "one"
		first := s.unstarted(t, everyEvent)
		done := make(chan error, 1)
		go func() { done <- first.Run(t.Context()) }()
		time.Sleep(5 * time.Second)
		s.detect(t, everyEvent)
		select {
		case err := <-done:
			if !sink.IsPermanent(err) || !strings.Contains(err.Error(), "kafka.instance_id") {
				t.Errorf("error %v, want a permanent one about kafka.instance_id", err)
			}
		case <-time.After(time.Minute):
			t.Error("the first process goes on")
		}
	})
}

func TestClusterWithoutTheProtocol(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.Kafka.GroupProtocol = sink.GroupConsumer
		s.ControlKey(kmsg.ApiVersions.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			s.KeepControl()
			resp := r.ResponseKind().(*kmsg.ApiVersionsResponse)
			resp.Version = r.GetVersion()
			for key := range int16(68) {
				resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MaxVersion: kmsg.RequestForKey(key).MaxVersion()})
			}
			return resp, nil, true
		})
		err := s.unstarted(t, everyEvent).Run(t.Context())
		if !sink.IsPermanent(err) || !strings.Contains(err.Error(), "kafka.group_protocol: classic") {
			t.Errorf("error %v, want a permanent one about the protocol", err)
		}
	})
}

// TestPartitionsAreAdded while detect runs: their events are judged, from the first.
func TestPartitionsAreAdded(t *testing.T) {
	eachProtocol(t, func(t *testing.T, s *site) {
		d := s.detect(t, everyEvent)
		s.hits(t, 50)
		time.Sleep(2 * time.Second)
		if _, err := s.adm.UpdatePartitions(t.Context(), 8, s.cfg.Topics.Logs); err != nil {
			t.Fatal(err)
		}
		s.hitEach(t, 8, 10)
		time.Sleep(time.Minute)
		s.wantEachOnce(t, 50+80)
		if n := partitionsOf(d); n != 8 {
			t.Errorf("it has %d partitions, want 8", n)
		}
	})
}

// hitEach puts n events on each partition.
func (s *site) hitEach(t *testing.T, partitions, n int) {
	t.Helper()
	cl := s.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	putOnEach(t, cl, s.cfg.Topics.Logs, partitions, n)
}

func putOnEach(t *testing.T, cl *kgo.Client, topic string, partitions, n int) {
	t.Helper()
	var recs []*kgo.Record
	for p := range partitions {
		for range n {
			ip := fmt.Sprintf("192.0.2.%d", p)
			recs = append(recs, &kgo.Record{Topic: topic, Partition: int32(p), Key: []byte(ip), Value: []byte(event(ip, "/hit"))})
		}
	}
	if err := cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestPartitionsAreAddedAtKafka(t *testing.T) {
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			cfg := realConfig(t)
			cfg.Kafka.GroupProtocol = protocol
			d, err := NewDetect(cfg, realDeps(t, everyEvent))
			if err != nil {
				t.Fatal(err)
			}
			start(t, d)
			cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			adm := kadm.NewClient(cl)
			if _, err := adm.UpdatePartitions(t.Context(), 6, cfg.Topics.Logs); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() (bool, string) {
				topics, err := adm.ListTopics(t.Context(), cfg.Topics.Logs)
				n := len(topics[cfg.Topics.Logs].Partitions)
				return n == 6, fmt.Sprintf("%d partitions (%v)", n, err)
			})
			manual, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err != nil {
				t.Fatal(err)
			}
			defer manual.Close()
			putOnEach(t, manual, cfg.Topics.Logs, 6, 10)
			eventually(t, func() (bool, string) {
				n := len(topicRecords(t, cfg, cfg.Topics.Verdicts))
				return n == 60, fmt.Sprintf("%d verdicts for the 60 events", n)
			})
		})
	}
}

// frozen is the network of a process that is stopped (SIGSTOP) for a while: what it
// sends meanwhile arrives nowhere, and its connections are gone when it wakes up.
type frozen struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex
	now   bool
	conns []net.Conn
}

func (f *frozen) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now {
		return nil, errors.New("frozen")
	}
	conn, err := f.dial(ctx, network, addr)
	if err == nil {
		f.conns = append(f.conns, conn)
	}
	return conn, err
}

func (f *frozen) set(now bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = now
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

// TestLostPartitionsAreNotCommitted: a process has taken records and loses its network
// before their verdicts are acknowledged. Another one takes its partitions over and
// commits. The first one wakes up, finishes what it had: it must not put the offsets
// back, nor forward to what the other one has not judged.
func TestLostPartitionsAreNotCommitted(t *testing.T) {
	eachProtocol(t, func(t *testing.T, s *site) {
		ice := &frozen{dial: s.net.DialContext}
		seldom := kgo.AutoCommitInterval(time.Hour) // see TestMembersComeAndGo; with a real broker it commits each second
		first := s.detect(t, everyEvent, kgo.Dialer(ice.Dial), seldom)
		s.hits(t, 100)
		time.Sleep(3 * time.Second)

		refused := s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.cfg.Topics.Verdicts, Err: kerr.NotEnoughReplicas, Count: -1})
		s.hits(t, 100)
		time.Sleep(time.Second) // they are judged, their verdicts are not acknowledged
		ice.set(true)
		refused.Remove()
		second := s.detect(t, everyEvent, seldom)
		time.Sleep(2 * time.Minute) // the first one's session is over
		s.hits(t, 100)
		time.Sleep(5 * time.Second)
		if n := partitionsOf(second); n != 4 {
			t.Fatalf("the second process has %d partitions, want all four", n)
		}
		before := s.offsets(t)
		ice.set(false)
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			now := s.offsets(t)
			for p, at := range before {
				if now[p] < at {
					t.Fatalf("the offset of partition %d went back from %d to %d", p, at, now[p])
				}
			}
			before = now
		}
		s.hits(t, 100)
		time.Sleep(10 * time.Second)
		if err := second.stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := first.stop(); err != nil {
			t.Fatal(err)
		}
		s.wantAll(t, 400)
		if n := s.uncommitted(t); n != 0 {
			t.Errorf("%d records are not committed", n)
		}
	})
}

// TestLostPartitionsAreNotCommittedAtKafka is the same with a real broker and a client
// that commits each second. Two processes that believe they own a partition do not put
// its offset back.
func TestLostPartitionsAreNotCommittedAtKafka(t *testing.T) {
	cfg := realConfig(t)
	ice := &frozen{dial: (&net.Dialer{Timeout: time.Second}).DialContext}
	member := func(opts ...kgo.Opt) *Detect {
		deps := realDeps(t, everyEvent)
		deps.Kafka = append(opts, kgo.SessionTimeout(6*time.Second))
		d, err := NewDetect(cfg, deps)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	start(t, member(kgo.Dialer(ice.Dial)))
	cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	const partitions = 4
	offsets := func() (least int64, all map[int32]int64) {
		have, err := adm.FetchOffsets(t.Context(), cfg.Kafka.Group)
		if err != nil {
			t.Fatal(err)
		}
		least, all = 1<<62, make(map[int32]int64)
		for p := range int32(partitions) {
			o, _ := have.Lookup(cfg.Topics.Logs, p)
			all[p] = o.At
			least = min(least, o.At)
		}
		return least, all
	}
	committed := func(n int64) {
		t.Helper()
		eventually(t, func() (bool, string) {
			least, all := offsets()
			return least >= n, fmt.Sprintf("offsets %v are committed, want %d of each partition", all, n)
		})
	}
	putOnEach(t, cl, cfg.Topics.Logs, partitions, 100)
	committed(100)
	putOnEach(t, cl, cfg.Topics.Logs, partitions, 100)
	ice.set(true) // with these in hand, more or less
	start(t, member())
	putOnEach(t, cl, cfg.Topics.Logs, partitions, 100)
	committed(300)
	ice.set(false)
	_, before := offsets()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		_, now := offsets()
		for p, at := range before {
			if now[p] < at {
				t.Fatalf("the offset of partition %d went back from %d to %d", p, at, now[p])
			}
		}
		before = now
	}
	putOnEach(t, cl, cfg.Topics.Logs, partitions, 100)
	committed(400)
	ids := make(map[string]bool)
	for _, r := range topicRecords(t, cfg, cfg.Topics.Verdicts) {
		var v schemas.Verdict
		if err := schemas.DecodeVerdict(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		ids[v.VerdictID] = true
	}
	if len(ids) != 4*100*partitions {
		t.Errorf("%d verdicts, want one for each of %d events", len(ids), 4*100*partitions)
	}
}

// offsets gives what the group has committed, by partition.
func (s *site) offsets(t *testing.T) map[int32]int64 {
	t.Helper()
	have, err := s.adm.FetchOffsets(t.Context(), s.cfg.Kafka.Group)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[int32]int64)
	have.Each(func(o kadm.OffsetResponse) { out[o.Partition] = o.At })
	return out
}
