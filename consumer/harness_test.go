package consumer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// everyEvent gives one verdict for each event on /hit, so that verdicts count events.
const everyEvent = `
version: 1
rules:
  - {id: each, type: match, endpoint: GET /hit, when: 'status >= 100', emit: every, action: log}
`

// banAfter3 bans a subject on its fourth event.
const banAfter3 = `
version: 1
rules:
  - {id: volume, type: usage, threshold: 3, window: 1h, action: ban, ban_for: 10s, message: slow down}
`

// site is a fake cluster inside a synctest bubble, and what runs against it.
type site struct {
	*kfake.Cluster
	net kfake.VirtualNetwork
	cfg Config
	cl  *kgo.Client // of the test itself
	adm *kadm.Client
	log *zap.Logger
}

// atSite runs a test in fake time.
func atSite(t *testing.T, test func(*testing.T, *site)) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{cfg: DefaultConfig(), log: zap.NewNop()}
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(19092), kfake.ListenFn(s.net.Listen))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		s.Cluster = c
		s.cfg.Kafka.Brokers = c.ListenAddrs()
		s.cfg.Kafka.Partitions = 4
		s.cfg.State.Shards = 8
		s.cl = s.client(t)
		s.adm = kadm.NewClient(s.cl)
		if err := sink.EnsureTopics(t.Context(), s.cl, s.cfg.Kafka, s.cfg.Topics, zap.NewNop()); err != nil {
			t.Fatal(err)
		}
		test(t, s)
	})
}

func (s *site) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := sink.Connect(t.Context(), s.cfg.Kafka, zap.NewNop(), append(opts, kgo.Dialer(s.net.DialContext))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// running is a detect that runs.
type running struct {
	*Detect
	metrics *Metrics
	reg     *prometheus.Registry
	stop    func() error // waits for the end; may be called again
}

func program(t testing.TB, rules string) *detector.Program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := detector.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// detect starts a detect and waits until it is ready.
func (s *site) detect(t *testing.T, rules string, more ...kgo.Opt) *running {
	t.Helper()
	r := s.begin(t, rules, more...)
	r.await(t)
	return r
}

// begin starts a detect.
func (s *site) begin(t *testing.T, rules string, more ...kgo.Opt) *running {
	t.Helper()
	r := &running{reg: newRegistry()}
	r.metrics = NewMetrics(r.reg)
	d, err := NewDetect(s.cfg, Deps{
		Program: program(t, rules), Log: s.log, Metrics: r.metrics, Sink: sink.NewMetrics(r.reg),
		Kafka: append([]kgo.Opt{kgo.Dialer(s.net.DialContext)}, more...),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Detect = d
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

func (r *running) await(t *testing.T) {
	t.Helper()
	for range 600 {
		if ok, _ := r.Ready(); ok {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	_, why := r.Ready()
	t.Fatalf("not ready after a minute: %s", why)
}

// event is a request now, of a subject on a path.
func event(ip, path string) string {
	return fmt.Sprintf(`{"client_ip":%q,"method":"GET","path":%q,"status":200,"timestamp":%q}`, ip, path, time.Now().UTC().Format(time.RFC3339Nano))
}

// put produces values to api-logs, keyed by ip, and waits for them.
func (s *site) put(t *testing.T, ip string, values ...string) []*kgo.Record {
	t.Helper()
	var recs []*kgo.Record
	for _, v := range values {
		recs = append(recs, &kgo.Record{Topic: s.cfg.Topics.Logs, Key: []byte(ip), Value: []byte(v)})
	}
	if err := s.cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return recs
}

// hits puts n events that everyEvent gives a verdict for, over many subjects.
func (s *site) hits(t *testing.T, n int) {
	t.Helper()
	var recs []*kgo.Record
	for i := range n {
		ip := fmt.Sprintf("192.0.2.%d", i%200)
		recs = append(recs, &kgo.Record{Topic: s.cfg.Topics.Logs, Key: []byte(ip), Value: []byte(event(ip, "/hit"))})
	}
	if err := s.cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// read gives the records that a topic has now.
func (s *site) read(t *testing.T, topic string) []*kgo.Record {
	t.Helper()
	ends, err := s.adm.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	cl := s.client(t, kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out []*kgo.Record
	for int64(len(out)) < want {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records of %s can be read: %v", len(out), want, topic, fetches.Err())
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

func (s *site) verdicts(t *testing.T) []schemas.Verdict {
	t.Helper()
	var out []schemas.Verdict
	for _, r := range s.read(t, s.cfg.Topics.Verdicts) {
		var v schemas.Verdict
		if err := schemas.DecodeVerdict(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		if string(r.Key) != v.Subject {
			t.Errorf("verdict of %s is keyed %q", v.Subject, r.Key)
		}
		out = append(out, v)
	}
	return out
}

// bans gives what a gateway enforces that reads the ban topic from its start.
func (s *site) bans(t *testing.T) map[string]schemas.Ban {
	t.Helper()
	out := make(map[string]schemas.Ban)
	for _, r := range s.read(t, s.cfg.Topics.Bans) {
		if r.Value == nil {
			delete(out, string(r.Key))
			continue
		}
		var b schemas.Ban
		if err := schemas.DecodeBan(r.Value, &b); err != nil {
			t.Fatal(err)
		}
		out[string(r.Key)] = b
	}
	return out
}

// uncommitted is how many records of the logs the group has not committed.
func (s *site) uncommitted(t *testing.T) int64 {
	t.Helper()
	ends, err := s.adm.ListEndOffsets(t.Context(), s.cfg.Topics.Logs)
	if err != nil {
		t.Fatal(err)
	}
	have, err := s.adm.FetchOffsets(t.Context(), s.cfg.Kafka.Group)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	ends.Each(func(o kadm.ListedOffset) {
		at := int64(0)
		if c, ok := have.Lookup(o.Topic, o.Partition); ok && c.At > 0 {
			at = c.At
		}
		n += o.Offset - at
	})
	return n
}

// headers gives a record's headers as "name=value" lines.
func headers(r *kgo.Record) string {
	var b strings.Builder
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "%s=%s\n", h.Key, h.Value)
	}
	return b.String()
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }
