package sink

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/apiwarden/apiwarden/schemas"
)

const bansTopic = "api-bans"

// warden is one process that writes the ban topic, started where people have said
// something before.
type warden struct {
	*Bans
	stop func()
}

func (f *fakeKafka) warden(t *testing.T, said ...ControlRecord) *warden {
	t.Helper()
	cl := f.connect(t, append(ProducerOpts(), FollowOpts(bansTopic)...)...)
	m := testMetrics()
	b := NewBans(BansConfig{Client: cl, Topic: bansTopic, Producer: NewProducer(cl, m, quiet()), Metrics: m, Log: quiet()})
	ctx, stop := context.WithCancel(t.Context())
	if err := b.Control(ctx, said); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	w := &warden{Bans: b}
	w.stop = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *warden) publish(t *testing.T, partition int32, c schemas.BanChange) {
	t.Helper()
	if err := w.Publish(t.Context(), []BanUpdate{{partition, c}}); err != nil {
		t.Fatal(err)
	}
}

func banFor(value string, d time.Duration, rules ...string) schemas.BanChange {
	now := time.Now()
	return schemas.BanChange{Ban: schemas.Ban{
		Scope: schemas.ScopeIP, Value: value, Action: schemas.ActionBan, RuleIDs: rules, Reason: "too much",
		Since: schemas.Micros(now.UnixMicro()), ExpiresAt: schemas.Micros(now.Add(d).UnixMicro()),
	}}
}

func throttleFor(value string, d time.Duration, rules ...string) schemas.BanChange {
	c := banFor(value, d, rules...)
	after := int64(30)
	c.Ban.Action, c.Ban.RetryAfterS, c.Ban.Reason = schemas.ActionThrottle, &after, "slow down"
	return c
}

func endOf(value string) schemas.BanChange {
	return schemas.BanChange{End: true, Ban: schemas.Ban{Scope: schemas.ScopeIP, Value: value}}
}

// table gives what a gateway that reads the topic from its start enforces.
func (f *fakeKafka) table(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for _, r := range f.readAll(t, bansTopic) {
		if r.Value == "" {
			delete(out, r.Key)
			continue
		}
		out[r.Key] = brief(t, r.Value)
	}
	return out
}

// brief is a value as text: action, rules, seconds to go.
func brief(t *testing.T, value string) string {
	t.Helper()
	var b schemas.Ban
	if err := schemas.DecodeBan([]byte(value), &b); err != nil {
		t.Fatal(err)
	}
	left := time.Until(b.ExpiresAt.Time()).Round(time.Second)
	return fmt.Sprint(b.Action, " ", b.RuleIDs, " ", left)
}

// inBubble runs a test against a cluster of its own, in fake time.
func inBubble(t *testing.T, test func(*testing.T, *fakeKafka)) {
	synctest.Test(t, func(t *testing.T) { test(t, newFakeKafka(t, kfake.SeedTopics(3, bansTopic))) })
}

func (f *fakeKafka) wantTable(t *testing.T, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, f.table(t)); diff != "" {
		t.Fatalf("ban topic (-want +got):\n%s", diff)
	}
}

func TestBanLife(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeKafka) {
		w := f.warden(t)
		w.publish(t, 0, banFor("192.0.2.1", time.Minute, "b", "a"))
		f.wantTable(t, map[string]string{"ip:192.0.2.1": "ban [a b] 1m0s"})
		w.publish(t, 0, banFor("192.0.2.1", 2*time.Minute, "a"))
		f.wantTable(t, map[string]string{"ip:192.0.2.1": "ban [a] 2m0s"})
		w.publish(t, 0, endOf("192.0.2.1"))
		w.publish(t, 0, endOf("192.0.2.1"))
		w.publish(t, 0, endOf("192.0.2.2"))
		if got := f.readAll(t, bansTopic); len(got) != 3 || got[2].Value != "" {
			t.Fatalf("want two values and one tombstone, got %v", got)
		}
	})
}

func TestChangesOfOnePublishAreOneRecordASubject(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeKafka) {
		w := f.warden(t)
		err := w.Publish(t.Context(), []BanUpdate{
			{0, banFor("192.0.2.1", time.Minute, "a")}, {0, endOf("192.0.2.1")}, {0, banFor("192.0.2.1", time.Hour, "b")},
			{1, banFor("192.0.2.2", time.Hour, "a")}, {1, endOf("192.0.2.2")},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.readAll(t, bansTopic); len(got) != 1 {
			t.Fatalf("want one record, got %v", got)
		}
		f.wantTable(t, map[string]string{"ip:192.0.2.1": "ban [b] 1h0m0s"})
	})
}

func TestExpiredBanIsNotPublished(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeKafka) {
		w := f.warden(t)
		w.publish(t, 0, banFor("192.0.2.1", -time.Second, "a"))
		w.publish(t, 0, endOf("192.0.2.1"))
		time.Sleep(3 * time.Second)
		if got := f.readAll(t, bansTopic); len(got) != 0 {
			t.Fatalf("want nothing on the topic, got %v", got)
		}
	})
}

func TestClockEndsBansOfAnIdlePartition(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeKafka) {
		w := f.warden(t)
		w.publish(t, 0, banFor("192.0.2.1", 10*time.Second, "a"))
		w.publish(t, 0, banFor("192.0.2.2", time.Hour, "a"))
		time.Sleep(11 * time.Second)
		f.wantTable(t, map[string]string{"ip:192.0.2.2": "ban [a] 59m49s"})
		w.publish(t, 0, endOf("192.0.2.1")) // the engine learns of it later
		if got := f.readAll(t, bansTopic); len(got) != 3 {
			t.Fatalf("want two values and one tombstone, got %v", got)
		}
	})
}

func TestFormerRunsBansEndToo(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeKafka) {
		w := f.warden(t)
		w.publish(t, 0, banFor("192.0.2.1", 20*time.Second, "a"))
		w.publish(t, 0, banFor("192.0.2.2", 10*time.Second, "a"))
		w.stop()
		time.Sleep(15 * time.Second)
		f.warden(t)
		time.Sleep(time.Second)
		f.wantTable(t, map[string]string{"ip:192.0.2.1": "ban [a] 4s"})
		time.Sleep(7 * time.Second)
		f.wantTable(t, map[string]string{})
	})
}

func TestWritersMerge(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeKafka) {
		a, b := f.warden(t), f.warden(t)
		a.publish(t, 0, throttleFor("192.0.2.1", time.Minute, "slow"))
		time.Sleep(time.Second)
		b.publish(t, 1, banFor("192.0.2.1", 30*time.Second, "hard"))
		time.Sleep(time.Second)
		f.wantTable(t, map[string]string{"ip:192.0.2.1": "ban [hard slow] 29s"})

		// The ban ends, by the clock or by a decision, and what the other writer wants stands.
		time.Sleep(30 * time.Second)
		f.wantTable(t, map[string]string{"ip:192.0.2.1": "throttle [slow] 28s"})
		b.publish(t, 1, endOf("192.0.2.1"))
		f.wantTable(t, map[string]string{"ip:192.0.2.1": "throttle [slow] 28s"})
		time.Sleep(time.Minute)
		f.wantTable(t, map[string]string{})
		if n := len(f.readAll(t, bansTopic)); n > 5 {
			t.Errorf("%d records on the topic: the writers do not come to rest", n)
		}
	})
}

func TestEndLeavesAnExtensionFromElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeKafka) {
		a, b := f.warden(t), f.warden(t)
		a.publish(t, 0, banFor("192.0.2.1", 30*time.Second, "a"))
		time.Sleep(time.Second)
		b.publish(t, 1, banFor("192.0.2.1", time.Hour, "b"))
		time.Sleep(time.Second)
		a.publish(t, 0, endOf("192.0.2.1"))
		time.Sleep(time.Minute)
		f.wantTable(t, map[string]string{"ip:192.0.2.1": "ban [b] 58m59s"})
	})
}

func TestStrayWritesAreRepaired(t *testing.T) {
	weaker := throttleFor("192.0.2.1", time.Second, "stale").Ban
	for name, value := range map[string][]byte{
		"a tombstone":       nil,
		"a weaker value":    schemas.AppendBan(nil, &weaker),
		"no value of ours":  []byte("{}"),
		"not even any JSON": []byte("\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fakeKafka) {
				w := f.warden(t)
				w.publish(t, 0, banFor("192.0.2.1", time.Hour, "a"))
				stray := f.connect(t)
				for _, key := range []string{"ip:192.0.2.1", "ip:192.0.2.9"} {
					r := &kgo.Record{Topic: bansTopic, Key: []byte(key), Value: value}
					if err := stray.ProduceSync(t.Context(), r).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Second)
				f.wantOne(t, "ip:192.0.2.1", "ban")
				time.Sleep(5 * time.Second) // a value that nobody can enforce goes away
				f.wantOne(t, "ip:192.0.2.1", "ban")
			})
		})
	}
}

// wantOne: the topic holds one readable value, under key.
func (f *fakeKafka) wantOne(t *testing.T, key, action string) {
	t.Helper()
	live, err := ReadBans(t.Context(), f.connect(t), bansTopic)
	if err != nil {
		t.Fatal(err)
	}
	if len(live) != 1 || schemas.BanKey(live[0].Scope, live[0].Value) != key || string(live[0].Action) != action {
		t.Fatalf("want one %s of %s, got %v", action, key, live)
	}
}

func TestForgottenPartitionsBansStandUntilTheirEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeKafka) {
		w := f.warden(t)
		w.publish(t, 4, banFor("192.0.2.1", 20*time.Second, "a"))
		w.Forget(4)
		time.Sleep(5 * time.Second)
		f.wantTable(t, map[string]string{"ip:192.0.2.1": "ban [a] 15s"})

		// It is nobody's now: its new owner may end it.
		next := f.warden(t)
		next.publish(t, 4, banFor("192.0.2.1", 30*time.Second, "b"))
		time.Sleep(time.Second)
		next.publish(t, 4, endOf("192.0.2.1"))
		time.Sleep(20 * time.Second)
		f.wantTable(t, map[string]string{})
	})
}

func TestPublishGoesOnUntilItIsAcknowledged(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeKafka) {
		w := f.warden(t)
		for _, err := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownServerError, kerr.NotEnoughReplicas} {
			f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: bansTopic, Err: err, Count: 3})
		}
		w.publish(t, 0, banFor("192.0.2.1", time.Hour, "a"))
		if live, err := ReadBans(t.Context(), f.connect(t), bansTopic); err != nil || len(live) != 1 {
			t.Fatalf("want one ban, got %v, %v", live, err)
		}
	})
}

func TestBanTopicCreatedAnew(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeKafka) {
		w := f.warden(t)
		w.publish(t, 0, banFor("192.0.2.1", time.Hour, "a"))
		adm := kadm.NewClient(f.connect(t))
		if _, err := adm.DeleteTopic(t.Context(), bansTopic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, bansTopic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		f.wantOne(t, "ip:192.0.2.1", "ban")
		w.publish(t, 0, banFor("192.0.2.2", time.Hour, "a"))
		if live, err := ReadBans(t.Context(), f.connect(t), bansTopic); err != nil || len(live) != 2 {
			t.Fatalf("want two bans, got %v, %v", live, err)
		}
	})
}

// TestEnforcingWritesOnlyWhatDiffers: after a restart the topic holds most of what a
// partition enforces already.
func TestEnforcingWritesOnlyWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKafka(t)
		if _, err := kadm.NewClient(f.connect(t)).CreateTopic(t.Context(), 1, 1, nil, bansTopic); err != nil {
			t.Fatal(err)
		}
		kept, gone, missing := banFor("192.0.2.1", time.Hour, "a"), banFor("192.0.2.2", time.Hour, "a"), banFor("192.0.2.3", time.Hour, "a")
		before := f.warden(t)
		before.publish(t, 1, kept)
		before.publish(t, 1, gone)
		before.stop()

		after := f.warden(t)
		if err := after.Enforce(t.Context(), 1, []schemas.Ban{kept.Ban, missing.Ban}); err != nil {
			t.Fatal(err)
		}
		if n := len(f.readAll(t, bansTopic)); n != 3 {
			t.Errorf("the topic has %d records, want the two from before and what was missing", n)
		}
		// What this process knew of the partition is replaced.
		if err := after.Enforce(t.Context(), 1, []schemas.Ban{kept.Ban}); err != nil {
			t.Fatal(err)
		}
		if n := len(f.readAll(t, bansTopic)); n != 4 {
			t.Errorf("the topic has %d records, want a tombstone of what is not enforced any more", n)
		}
	})
}
