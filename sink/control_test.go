package sink

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
)

const controlTopic = "apiwarden-control"

// withControls runs a test against a cluster of its own, in fake time.
func withControls(t *testing.T, test func(*testing.T, *fakeKafka)) {
	synctest.Test(t, func(t *testing.T) { test(t, newFakeKafka(t, kfake.SeedTopics(3, bansTopic, controlTopic))) })
}

// say has a person change something now.
func (f *fakeKafka) say(t *testing.T, op schemas.Op, scope schemas.Scope, value string, lasts time.Duration) {
	t.Helper()
	f.sayRecord(t, NewControlRecord(controlTopic, &schemas.Control{
		Op: op, Scope: scope, Value: value, For: schemas.Duration(lasts), By: "anna", Reason: "by hand", At: schemas.Micros(time.Now().UnixMicro()),
	}))
}

func (f *fakeKafka) sayRecord(t *testing.T, r *kgo.Record) {
	t.Helper()
	cl := f.connect(t, ProducerOpts()...)
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// heard is what Controls has handed on: op and subject, by call.
type heard struct {
	mu    sync.Mutex
	calls [][]string
}

func (h *heard) take(_ context.Context, records []ControlRecord) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	call := []string{}
	for i := range records {
		call = append(call, fmt.Sprint(records[i].Op, " ", records[i].Key()))
	}
	slices.Sort(call) // keys lie in several partitions
	h.calls = append(h.calls, call)
	return nil
}

func (h *heard) want(t *testing.T, calls ...[]string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if diff := cmp.Diff(calls, h.calls); diff != "" {
		t.Fatalf("handed on (-want +got):\n%s", diff)
	}
	h.calls = nil
}

// controls follows the control topic until the end of the test.
func (f *fakeKafka) controls(t *testing.T, changed func(context.Context, []ControlRecord) error) *Controls {
	t.Helper()
	c := NewControls(ControlsConfig{
		Client: f.connect(t, FollowOpts(controlTopic)...), Topic: controlTopic, Metrics: testMetrics(), Log: quiet(), Changed: changed,
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	for range 100 {
		if c.Ready() {
			return c
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the control topic was not read in ten seconds")
	return nil
}

func TestControlsAreFollowed(t *testing.T) {
	withControls(t, func(t *testing.T, f *fakeKafka) {
		f.say(t, schemas.OpBan, schemas.ScopeIP, "192.0.2.1", time.Hour)
		f.say(t, schemas.OpExempt, schemas.ScopeRange, "198.51.100.0/24", 0)
		f.say(t, schemas.OpUnban, schemas.ScopeIP, "192.0.2.1", 0)
		f.sayRecord(t, &kgo.Record{Topic: controlTopic, Key: []byte("ip:192.0.2.1"), Value: []byte("\x00")})
		var h heard
		c := f.controls(t, h.take)
		h.want(t, []string{"exempt range:198.51.100.0/24", "unban ip:192.0.2.1"})
		if n := testutil.ToFloat64(c.m.ControlRecords.WithLabelValues(controlUnreadable)); n != 1 {
			t.Errorf("%v records could not be read, want 1", n)
		}

		began := time.Now()
		f.say(t, schemas.OpBan, schemas.ScopeUser, "anna", 0)
		for range 100 {
			if len(c.State()) == 3 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("a change was heard of after %v", took)
		}
		f.sayRecord(t, &kgo.Record{Topic: controlTopic, Key: []byte("range:198.51.100.0/24")})
		time.Sleep(time.Second)
		h.want(t, []string{"ban user:anna"}, []string{"unexempt range:198.51.100.0/24"})
		read, err := ReadControls(t.Context(), f.connect(t), controlTopic)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.State(), read); diff != "" || len(read) != 3 {
			t.Errorf("a reader of the topic has another state (-follower +reader):\n%s", diff)
		}
	})
}

func TestNothingSaidYet(t *testing.T) {
	withControls(t, func(t *testing.T, f *fakeKafka) {
		var h heard
		f.controls(t, h.take)
		h.want(t, []string{})
	})
}

func TestControlTopicCreatedAnew(t *testing.T) {
	withControls(t, func(t *testing.T, f *fakeKafka) {
		f.say(t, schemas.OpBan, schemas.ScopeIP, "192.0.2.1", time.Hour)
		f.say(t, schemas.OpUnban, schemas.ScopeIP, "192.0.2.1", 0)
		f.say(t, schemas.OpExempt, schemas.ScopeIP, "192.0.2.2", 0)
		var h heard
		c := f.controls(t, h.take)
		adm := kadm.NewClient(f.connect(t))
		if _, err := adm.DeleteTopic(t.Context(), controlTopic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, controlTopic); err != nil {
			t.Fatal(err)
		}
		f.say(t, schemas.OpBan, schemas.ScopeIP, "192.0.2.1", time.Hour)
		time.Sleep(30 * time.Second)
		state := c.State()
		if len(state) != 2 || !slices.ContainsFunc(state, func(r ControlRecord) bool { return r.Op == schemas.OpBan && r.Value == "192.0.2.1" }) {
			t.Errorf("known are %v, want the new ban and the exemption of before", state)
		}
	})
}

func TestNewestOfASubject(t *testing.T) {
	record := func(partition int32, offset int64, at schemas.Micros) ControlRecord {
		return ControlRecord{
			Control:  schemas.Control{Scope: schemas.ScopeIP, Value: "192.0.2.1", At: at},
			Position: schemas.Position{Partition: partition, Offset: offset},
		}
	}
	s := make(controlState)
	for _, c := range []struct {
		r    ControlRecord
		want bool
	}{
		{record(1, 5, 100), true},
		{record(1, 6, 90), true}, // a clock that is behind changes nothing
		{record(1, 6, 90), false},
		{record(1, 4, 200), false},
		{record(2, 0, 80), false},
		{record(2, 1, 95), true}, // partitions were added
		{record(1, 5, 100), true},
	} {
		if got := s.take(c.r); got != c.want {
			t.Errorf("%v at %d is newer: %v, want %v", c.r.Position, c.r.At, got, c.want)
		}
	}
}

// TestManualChangesReachTheBanTopic has two processes follow both topics.
func TestManualChangesReachTheBanTopic(t *testing.T) {
	withControls(t, func(t *testing.T, f *fakeKafka) {
		a, b := f.warden(t), f.warden(t)
		f.controls(t, a.Control)
		f.controls(t, b.Control)
		soon := func(want map[string]string) {
			t.Helper()
			time.Sleep(time.Second)
			f.wantTable(t, want)
		}
		f.say(t, schemas.OpBan, schemas.ScopeIP, "192.0.2.1", time.Minute)
		soon(map[string]string{"ip:192.0.2.1": "ban [manual] 59s"})
		a.publish(t, 0, banFor("192.0.2.1", time.Hour, "r"))
		a.publish(t, 0, banFor("192.0.2.2", time.Hour, "r"))
		soon(map[string]string{"ip:192.0.2.1": "ban [manual r] 59m59s", "ip:192.0.2.2": "ban [r] 59m59s"})
		f.say(t, schemas.OpUnban, schemas.ScopeIP, "192.0.2.1", 0)
		f.say(t, schemas.OpExempt, schemas.ScopeRange, "192.0.2.2/31", 0)
		soon(map[string]string{})
		b.publish(t, 1, banFor("192.0.2.1", time.Hour, "again"))
		soon(map[string]string{"ip:192.0.2.1": "ban [again] 59m59s"})
		if n := len(f.readAll(t, bansTopic)); n > 10 {
			t.Errorf("%d records on the ban topic: the writers do not come to rest", n)
		}
	})
}

// TestStalledOwnerAgainstAnUnban has a process that was stalled while a person ended
// its ban: it wakes up, hears of nothing, and writes its ban again.
func TestStalledOwnerAgainstAnUnban(t *testing.T) {
	withControls(t, func(t *testing.T, f *fakeKafka) {
		stalled, w := f.warden(t), f.warden(t)
		f.controls(t, w.Control)
		stalled.publish(t, 0, banFor("192.0.2.1", time.Hour, "r"))
		time.Sleep(time.Second)
		f.say(t, schemas.OpUnban, schemas.ScopeIP, "192.0.2.1", 0)
		time.Sleep(10 * time.Second) // it asserts its ban all the time
		if n := len(f.readAll(t, bansTopic)); n > 100 {
			t.Errorf("%d records in ten seconds: two that do not know the same write against each other", n)
		}
		f.controls(t, stalled.Control)
		time.Sleep(time.Second)
		f.wantTable(t, map[string]string{})
		before := len(f.readAll(t, bansTopic))
		time.Sleep(5 * time.Second)
		if n := len(f.readAll(t, bansTopic)); n > before {
			t.Errorf("%d records more although both know the same", n-before)
		}
	})
}

// TestStrayWriteOfAnEndedBan is a single late write of a process that is gone.
func TestStrayWriteOfAnEndedBan(t *testing.T) {
	withControls(t, func(t *testing.T, f *fakeKafka) {
		w := f.warden(t)
		f.controls(t, w.Control)
		old := banFor("192.0.2.1", time.Hour, "r").Ban
		time.Sleep(time.Second)
		f.say(t, schemas.OpUnban, schemas.ScopeIP, "192.0.2.1", 0)
		time.Sleep(time.Second)
		f.sayRecord(t, &kgo.Record{Topic: bansTopic, Key: []byte("ip:192.0.2.1"), Value: schemas.AppendBan(nil, &old)})
		time.Sleep(time.Second)
		f.wantTable(t, map[string]string{})
	})
}

func TestManualChangesAreKnownAtTheStart(t *testing.T) {
	withControls(t, func(t *testing.T, f *fakeKafka) {
		w := f.warden(t)
		for _, value := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
			w.publish(t, 0, banFor(value, time.Hour, "r"))
		}
		w.stop()
		time.Sleep(time.Second)
		f.say(t, schemas.OpUnban, schemas.ScopeIP, "192.0.2.1", 0)
		f.say(t, schemas.OpExempt, schemas.ScopeIP, "192.0.2.2", 0)
		f.say(t, schemas.OpBan, schemas.ScopeIP, "192.0.2.4", time.Hour)
		state, err := ReadControls(t.Context(), f.connect(t), controlTopic)
		if err != nil {
			t.Fatal(err)
		}
		f.warden(t, state...)
		time.Sleep(time.Second)
		f.wantTable(t, map[string]string{"ip:192.0.2.3": "ban [r] 59m58s", "ip:192.0.2.4": "ban [manual] 59m59s"})
	})
}
