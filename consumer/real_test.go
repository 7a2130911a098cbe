package consumer

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// realConfig is a configuration for topics and groups of this test alone.
func realConfig(t *testing.T) Config {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Kafka.Brokers = []string{dev.Kafka(t)}
	cfg.Kafka.Partitions = 4
	prefix := fmt.Sprintf("consumer-%d-%d-", os.Getpid(), time.Now().UnixNano())
	cfg.Kafka.Group = prefix + "group"
	v := reflect.ValueOf(&cfg.Topics).Elem()
	var names []string
	for i := range v.NumField() {
		v.Field(i).SetString(prefix + v.Field(i).String())
		names = append(names, v.Field(i).String())
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if cl, err := sink.Connect(ctx, cfg.Kafka, zap.NewNop()); err == nil {
			_, _ = kadm.NewClient(cl).DeleteTopics(ctx, names...) // the broker is the tests' own: no harm if some stay
			cl.Close()
		}
	})
	return cfg
}

// role is detect or store.
type role interface {
	Run(context.Context) error
	Ready() (bool, string)
}

// start runs r until stop, or the end of the test, and waits until it is ready.
func start(t *testing.T, r role) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	eventually(t, func() (bool, string) { return r.Ready() })
	return stop
}

// eventually waits up to three minutes for a condition.
func eventually(t *testing.T, ok func() (bool, string)) {
	t.Helper()
	why := ""
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var done bool
		if done, why = ok(); done {
			return
		}
	}
	t.Fatalf("not after three minutes: %s", why)
}

func realDeps(t *testing.T, rules string) Deps {
	t.Helper()
	reg := newRegistry()
	return Deps{Program: program(t, rules), Log: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)), Metrics: NewMetrics(reg), Sink: sink.NewMetrics(reg)}
}

// topicRecords gives what a topic has now.
func topicRecords(t *testing.T, cfg Config, topic string) []*kgo.Record {
	t.Helper()
	cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop(), kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out []*kgo.Record
	for int64(len(out)) < want && ctx.Err() == nil {
		out = append(out, cl.PollFetches(ctx).Records()...)
	}
	return out
}

// TestFromLogsToClickHouse is the whole way with the real services: events to
// verdicts, bans and dead letters, and into ClickHouse, where what is delivered
// again is there once.
func TestFromLogsToClickHouse(t *testing.T) {
	cfg := realConfig(t)
	addr := dev.ClickHouse(t)
	ch := sink.DefaultClickHouseConfig()
	ch.Addresses, ch.Protocol, ch.Database = []string{addr}, "http", dev.Database(t, addr)
	const rules = `
version: 1
rules:
  - {id: volume, type: usage, threshold: 20, window: 1h, action: ban, ban_for: 1h}
  - {id: seen, type: match, endpoint: GET /hit, when: 'status == 200', emit: every, action: log}
`
	deps := realDeps(t, rules)
	detect, err := NewDetect(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	store, err := NewStore(cfg, ch, deps)
	if err != nil {
		t.Fatal(err)
	}
	stopDetect, stopStore := start(t, detect), start(t, store)

	const subjects, each, bad = 50, 25, 7
	cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var recs []*kgo.Record
	for i := range each {
		for s := range subjects {
			ip := "198.51.100." + strconv.Itoa(s)
			recs = append(recs, &kgo.Record{Topic: cfg.Topics.Logs, Key: []byte(ip), Value: []byte(event(ip, "/hit?"+strconv.Itoa(i)))})
		}
	}
	for i := range bad {
		recs = append(recs, &kgo.Record{Topic: cfg.Topics.Logs, Key: []byte("198.51.100.1"), Value: []byte("no JSON " + strconv.Itoa(i))})
	}
	if err := cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}

	// Each subject is banned at its event 21, and the 4 after it are under the ban.
	const verdicts = subjects * (21 + 1)
	want := func(query string, n int) {
		t.Helper()
		eventually(t, func() (bool, string) {
			got := dev.Query(t, addr, query)
			return got == strconv.Itoa(n), fmt.Sprintf("%s: %s, want %d", query, got, n)
		})
	}
	want("SELECT count() FROM "+ch.Database+".events FINAL", subjects*each)
	want("SELECT count() FROM "+ch.Database+".verdicts FINAL", verdicts)
	want("SELECT uniqExact(subject) FROM "+ch.Database+".verdicts FINAL WHERE rule_id = 'volume' AND action_taken = 'ban'", subjects)

	if got := len(topicRecords(t, cfg, cfg.Topics.DLQ)); got != bad {
		t.Errorf("%d dead letters, want %d", got, bad)
	}
	var ids []string
	for _, r := range topicRecords(t, cfg, cfg.Topics.Verdicts) {
		var v schemas.Verdict
		if err := schemas.DecodeVerdict(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, v.VerdictID)
	}
	slices.Sort(ids)
	if got := len(slices.Compact(ids)); got != verdicts {
		t.Errorf("%d verdicts on the topic, want %d", got, verdicts)
	}
	reader, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if bans, err := sink.ReadBans(t.Context(), reader, cfg.Topics.Bans); err != nil || len(bans) != subjects {
		t.Errorf("%d bans, want %d (%v)", len(bans), subjects, err)
	}
	stopDetect()
	stopStore()

	// Everything once more, by a group that has committed nothing.
	again := cfg
	again.Kafka.Group += "-again"
	store, err = NewStore(again, ch, realDeps(t, rules))
	if err != nil {
		t.Fatal(err)
	}
	start(t, store)
	eventually(t, func() (bool, string) {
		got := dev.Query(t, addr, "SELECT count() FROM "+ch.Database+".events")
		n, _ := strconv.Atoi(got)
		return n >= subjects*each, "events stored twice: " + got
	})
	time.Sleep(3 * time.Second)
	want("SELECT count() FROM "+ch.Database+".events FINAL", subjects*each)
	want("SELECT count() FROM "+ch.Database+".verdicts FINAL", verdicts)
}

// TestMembersComeAndGoAtKafka lets three processes share the partitions of a real
// broker, in real time, while events arrive: each event has its verdict.
func TestMembersComeAndGoAtKafka(t *testing.T) {
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) { membersComeAndGo(t, protocol) })
	}
}

func membersComeAndGo(t *testing.T, protocol string) {
	cfg := realConfig(t)
	cfg.Kafka.GroupProtocol = protocol
	member := func() *Detect {
		d, err := NewDetect(cfg, realDeps(t, everyEvent))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	stopA := start(t, member())
	cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	const rounds, each = 80, 50
	var producing sync.WaitGroup
	producing.Go(func() {
		for range rounds {
			var recs []*kgo.Record
			for s := range each {
				ip := "198.51.100." + strconv.Itoa(s)
				recs = append(recs, &kgo.Record{Topic: cfg.Topics.Logs, Key: []byte(ip), Value: []byte(event(ip, "/hit"))})
			}
			if err := cl.ProduceSync(context.Background(), recs...).FirstErr(); err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	time.Sleep(2 * time.Second)
	start(t, member())
	time.Sleep(time.Second)
	stopA()
	start(t, member())
	producing.Wait()
	eventually(t, func() (bool, string) {
		times := make(map[schemas.Position]int)
		for _, r := range topicRecords(t, cfg, cfg.Topics.Verdicts) {
			var v schemas.Verdict
			if err := schemas.DecodeVerdict(r.Value, &v); err != nil {
				t.Fatal(err)
			}
			times[*v.Trigger]++
		}
		for at, n := range times {
			if n != 1 {
				t.Fatalf("the event at %v has %d verdicts although every stop was clean", at, n)
			}
		}
		return len(times) == rounds*each, fmt.Sprintf("%d of %d events have a verdict", len(times), rounds*each)
	})
}
