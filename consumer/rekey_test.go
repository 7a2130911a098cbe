package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// rekeyRules count for addresses, networks and users, behind proxies.
const rekeyRules = `
version: 1
trusted_proxies: [10.0.0.0/8]
subject: {ipv6_prefix: 64}
rules:
  - {id: volume, type: usage, threshold: 5, window: 1h, action: ban, ban_for: 10s}
  - {id: per-user, type: usage, threshold: 4, window: 1h, key: user_id, action: ban, ban_for: 5s}
  - {id: user-paths, type: distinct, field: path, threshold: 3, window: 1h, key: user_id}
  - {id: per-key, type: usage, threshold: 6, window: 1h, key: api_key_id, emit: every, action: log}
`

// onEachKafka runs a test at a fake and at a real cluster, in real time.
func onEachKafka(t *testing.T, test func(*testing.T, Config)) {
	t.Run("kfake", func(t *testing.T) {
		cfg := DefaultConfig()
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		cfg.Kafka.Brokers, cfg.Kafka.Partitions = c.ListenAddrs(), 4
		test(t, rekeyed(cfg))
	})
	t.Run("kafka", func(t *testing.T) { test(t, rekeyed(realConfig(t))) })
}

func rekeyed(cfg Config) Config {
	cfg.Input.Rekey = true
	cfg.ShutdownTimeout = schemas.Duration(5 * time.Second)
	return cfg
}

// stage is a Rekey that runs, with connections that can be sabotaged.
type stage struct {
	*Rekey
	saboteur
	stop func() // ends it cleanly; may be called again
}

func startStage(t *testing.T, cfg Config, rules string) *stage {
	t.Helper()
	s := &stage{}
	deps := realDeps(t, rules)
	deps.Log = zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
	deps.Kafka = []kgo.Opt{
		kgo.Dialer(s.Dial), kgo.SessionTimeout(6 * time.Second), kgo.TransactionTimeout(5 * time.Second),
		// The fake cluster leaves some members without an answer where the group's
		// leader dies while it rebalances: they ask again after this.
		kgo.RebalanceTimeout(10 * time.Second),
	}
	var err error
	if s.Rekey, err = NewRekey(cfg, deps); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(s.stop)
	eventually(t, func() (bool, string) { return s.Ready() })
	return s
}

// randomRecord is an event, or now and then none, with a key that says nothing.
func randomRecord(rnd *rand.Rand, cfg Config, n int) *kgo.Record {
	r := &kgo.Record{Topic: cfg.Topics.Logs, Headers: []kgo.RecordHeader{{Key: "trace", Value: fmt.Append(nil, n)}}}
	if rnd.IntN(3) > 0 {
		r.Key = fmt.Append(nil, "pod-", rnd.IntN(50))
	}
	if rnd.IntN(20) == 0 {
		r.Value = fmt.Appendf(nil, "no event %d", n)
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: sink.HeaderReason, Value: []byte("json")}) // a letter that is sent again
		return r
	}
	peer, forwarded := fmt.Sprintf("192.0.2.%d", rnd.IntN(20)), ""
	switch rnd.IntN(3) {
	case 0:
		peer = fmt.Sprintf("2001:db8:0:%x::%x", rnd.IntN(10), rnd.IntN(1000))
	case 1:
		peer, forwarded = fmt.Sprintf("10.0.0.%d", rnd.IntN(5)), fmt.Sprintf(`,"x_forwarded_for":"6.6.6.6, 198.51.100.%d, 10.1.1.1"`, rnd.IntN(20))
	}
	user := ""
	if rnd.IntN(2) == 0 {
		user = fmt.Sprintf(`,"user_id":"u%d"`, rnd.IntN(30))
	}
	if rnd.IntN(4) == 0 {
		user += fmt.Sprintf(`,"api_key_id":"u%d"`, rnd.IntN(10))
	}
	r.Value = fmt.Appendf(nil, `{"n":%d,"client_ip":%q,"method":"GET","path":"/p/x%c","status":200,"timestamp":%d%s%s}`,
		n, peer, 'a'+rnd.IntN(6), time.Now().UnixMicro(), forwarded, user)
	return r
}

// committed gives what a reader of committed records finds in a topic, up to its end.
// It waits for transactions that a member left behind.
func committed(t *testing.T, cfg Config, topic string, isolation kgo.IsolationLevel) []*kgo.Record {
	t.Helper()
	cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop(), kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	at := make(map[int32]int64)
	var out []*kgo.Record
	eventually(t, func() (bool, string) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			at[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		})
		ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		behind := ""
		ends.Each(func(o kadm.ListedOffset) {
			if at[o.Partition] < o.Offset {
				behind = fmt.Sprintf("%s/%d is read up to %d of %d", topic, o.Partition, at[o.Partition], o.Offset)
			}
		})
		return behind == "", behind
	})
	return out
}

// finished waits until the stage's group has committed everything.
func finished(t *testing.T, cfg Config, group string) {
	t.Helper()
	cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	eventually(t, func() (bool, string) {
		ends, err := adm.ListEndOffsets(t.Context(), cfg.Topics.Logs)
		if err != nil {
			t.Fatal(err)
		}
		have, err := adm.FetchOffsets(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		open := int64(0)
		ends.Each(func(o kadm.ListedOffset) {
			at, _ := have.Lookup(o.Topic, o.Partition)
			open += o.Offset - at.At
		})
		return open == 0, fmt.Sprintf("%d records are not committed", open)
	})
}

// copyLine says what a copy is of, and how it is marked.
func copyLine(topic string, partition int32, offset int64, key string) string {
	return fmt.Sprintf("%s/%d@%d %s", topic, partition, offset, key)
}

// wantCopies: each record has each of its copies once, and nothing else is there.
func wantCopies(t *testing.T, cfg Config, rules string, made, copies []*kgo.Record) {
	t.Helper()
	id := program(t, rules).Identity()
	decoder, err := schemas.NewDecoder(schemas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	type content struct{ key, value, trace string }
	want := make(map[string]content)
	for _, r := range made {
		c := content{value: string(r.Value), trace: header(r, "trace")}
		var ev schemas.Event
		c.key = string(r.Key)
		if decoder.Decode(r.Value, &ev) == nil {
			addr, _ := id.Subject(&ev)
			_, c.key = id.Name(addr)
			for key, value := range map[string][]byte{"user_id": ev.UserID, "api_key_id": ev.APIKeyID} {
				if len(value) > 0 {
					want[copyLine(r.Topic, r.Partition, r.Offset, key)] = content{"user:" + string(value), c.value, c.trace}
				}
			}
		}
		want[copyLine(r.Topic, r.Partition, r.Offset, "")] = c
	}
	times := make(map[string]int)
	var s sources
	s.logs = cfg.Topics.Logs
	partitionOf := make(map[string]int32)
	for _, r := range copies {
		s.read(r)
		at := s.copy.Source
		line := copyLine(at.Topic, at.Partition, at.Offset, s.copy.Key)
		times[line]++
		if times[line] > 1 {
			t.Errorf("%s is there %d times", line, times[line])
		}
		if diff := cmp.Diff(want[line], content{string(r.Key), string(r.Value), header(r, "trace")}, cmp.AllowUnexported(content{})); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
		if first, ok := partitionOf[string(r.Key)]; ok && first != r.Partition && !strings.HasPrefix(string(r.Key), "pod-") && len(r.Key) > 0 {
			t.Errorf("copies keyed %q are in partitions %d and %d", r.Key, first, r.Partition)
		}
		partitionOf[string(r.Key)] = r.Partition
	}
	if len(times) != len(want) {
		t.Errorf("%d different copies, want %d", len(times), len(want))
	}
}

// TestEachRecordIsCopiedOnce kills members of the stage in the middle of transactions,
// has one stand still until the group has given its partitions to others, and lets
// some come and go, while records arrive. Whoever reads committed records finds each
// copy once.
func TestEachRecordIsCopiedOnce(t *testing.T) {
	onEachKafka(t, func(t *testing.T, cfg Config) {
		a := startStage(t, cfg, rekeyRules)
		cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		var producing sync.WaitGroup
		defer producing.Wait()
		ctx, enough := context.WithCancel(t.Context())
		defer enough()
		var made []*kgo.Record
		producing.Go(func() {
			rnd := rand.New(rand.NewPCG(1, 2))
			for ctx.Err() == nil {
				var recs []*kgo.Record
				for range 20 {
					recs = append(recs, randomRecord(rnd, cfg, len(made)+len(recs)))
				}
				if err := cl.ProduceSync(context.Background(), recs...).FirstErr(); err != nil {
					t.Error(err)
				}
				made = append(made, recs...)
				time.Sleep(20 * time.Millisecond)
			}
		})
		// What a member that died has left keeps its partitions for as long as the
		// session and the transaction last.
		wait := func(done <-chan struct{}) {
			t.Helper()
			select {
			case <-done:
			case <-time.After(2 * time.Minute):
				t.Fatal("a planned fault did not happen within two minutes")
			}
		}
		b := startStage(t, cfg, rekeyRules)
		wait(a.dieBefore(kmsg.EndTxn)) // the copies are written, their fate is open
		c := startStage(t, cfg, rekeyRules)
		wait(b.dieAfter(kmsg.EndTxn)) // committed, and nobody knows
		d := startStage(t, cfg, rekeyRules)
		// Longer than the session and the transaction last, and than brokers wait
		// before they look.
		slept := c.sleepBefore(kmsg.EndTxn, 20*time.Second)
		wait(d.dieAfter(kmsg.TxnOffsetCommit))
		e := startStage(t, cfg, rekeyRules)
		wait(slept)
		wait(e.sleepBefore(kmsg.Produce, 10*time.Second))
		f := startStage(t, cfg, rekeyRules)
		c.stop()
		startStage(t, cfg, rekeyRules)
		wait(f.dieBefore(kmsg.Produce))
		enough()
		producing.Wait()
		finished(t, cfg, a.Group())
		copies := committed(t, cfg, cfg.Topics.Events, kgo.ReadCommitted())
		wantCopies(t, cfg, rekeyRules, made, copies)
		all := committed(t, cfg, cfg.Topics.Events, kgo.ReadUncommitted())
		if len(all) == len(copies) {
			t.Error("no transaction was aborted: nothing was at stake")
		}
		t.Logf("%d records, %d copies, %d more in aborted transactions", len(made), len(copies), len(all)-len(copies))
	})
}

// TestRekeyedEventsAreJudgedAsInOneLog compares what detect makes of copies with what
// one engine makes of the log itself. All records come through one partition of the
// logs, in the order of their times, so that each subject's events keep their order.
func TestRekeyedEventsAreJudgedAsInOneLog(t *testing.T) {
	onEachKafka(t, func(t *testing.T, cfg Config) {
		const events = 3000
		rnd := rand.New(rand.NewPCG(3, 4))
		cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		startStage(t, cfg, rekeyRules)
		var recs []*kgo.Record
		for n := range events {
			r := randomRecord(rnd, cfg, n)
			r.Partition = 2
			recs = append(recs, r)
		}
		if err := cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		deps := realDeps(t, rekeyRules)
		d, err := NewDetect(cfg, deps)
		if err != nil {
			t.Fatal(err)
		}
		start(t, d)
		// Read back, because the broker sets their timestamps.
		want, letters := judgedAlone(t, deps.Program, committed(t, cfg, cfg.Topics.Logs, kgo.ReadCommitted()))
		var got []string
		eventually(t, func() (bool, string) {
			got = got[:0]
			for _, r := range committed(t, cfg, cfg.Topics.Verdicts, kgo.ReadCommitted()) {
				var v schemas.Verdict
				if err := schemas.DecodeVerdict(r.Value, &v); err != nil {
					t.Fatal(err)
				}
				got = append(got, verdictLine(&v))
			}
			return len(got) >= len(want), fmt.Sprintf("%d verdicts, want %d", len(got), len(want))
		})
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("verdicts of the log itself (-) and of its copies (+) differ:\n%s", diff)
		}
		byRule := make(map[string]int)
		for _, line := range want {
			rule, _, _ := strings.Cut(line, " ")
			byRule[rule]++
		}
		if len(byRule) != 4 {
			t.Errorf("verdicts by rule: %v, want some of each of the four", byRule)
		}
		eventually(t, func() (bool, string) {
			n := len(committed(t, cfg, cfg.Topics.DLQ, kgo.ReadCommitted()))
			return n >= len(letters), fmt.Sprintf("%d dead letters, want %d", n, len(letters))
		})
		for _, r := range committed(t, cfg, cfg.Topics.DLQ, kgo.ReadCommitted()) {
			line := fmt.Sprintf("%s/%s@%s %q %q %s", header(r, sink.HeaderTopic), header(r, sink.HeaderPartition), header(r, sink.HeaderOffset), r.Key, r.Value, header(r, sink.HeaderReason))
			if !letters[line] {
				t.Errorf("dead letter %s, which is none, or is one twice", line)
			}
			delete(letters, line)
		}
		if n := testutil.ToFloat64(deps.Metrics.Miskeyed); n != 0 {
			t.Errorf("%v records counted as miskeyed", n)
		}
	})
}

func verdictLine(v *schemas.Verdict) string {
	return fmt.Sprintf("%s %s %s %d %s/%d@%d %d %d %s %s", v.RuleID, v.Scope, v.Subject, v.Count, v.Trigger.Topic, v.Trigger.Partition, v.Trigger.Offset,
		v.EventTime, *v.RecordTime, v.Action, v.VerdictID)
}

// judgedAlone gives the verdicts of one engine over the records, and their dead letters.
func judgedAlone(t *testing.T, p *detector.Program, recs []*kgo.Record) (verdicts []string, letters map[string]bool) {
	t.Helper()
	dec, err := schemas.NewDecoder(schemas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	letters = make(map[string]bool)
	e := detector.NewEngine(p, detector.Options{Topic: recs[0].Topic, Partition: recs[0].Partition})
	for _, r := range recs {
		var ev schemas.Event
		bad := badRecord(dec.Decode(r.Value, &ev))
		if bad == nil {
			_, bad = e.Observe(&ev, detector.Record{Offset: r.Offset, Time: r.Timestamp.UnixMicro()})
			found, _ := e.Take()
			for i := range found {
				verdicts = append(verdicts, verdictLine(&found[i]))
			}
		}
		if bad != nil {
			letters[fmt.Sprintf("%s/%d@%d %q %q %s", r.Topic, r.Partition, r.Offset, r.Key, r.Value, bad.Reason)] = true
		}
	}
	return verdicts, letters
}
