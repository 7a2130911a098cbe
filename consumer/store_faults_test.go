package consumer

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/sink"
)

// warehouse is a store at a real Kafka and a real ClickHouse engine.
type warehouse struct {
	cfg  Config
	ch   sink.ClickHouseConfig // as store sees it
	addr string                // of the engine itself
	deps Deps
	cl   *kgo.Client
	adm  *kadm.Client
	put  int // events so far
}

func newWarehouse(t *testing.T, engine, way, database string) *warehouse {
	t.Helper()
	w := &warehouse{cfg: realConfig(t), ch: sink.DefaultClickHouseConfig(), addr: engine, deps: realDeps(t, everyEvent)}
	w.ch.Addresses, w.ch.Protocol, w.ch.Database = []string{way}, "http", database
	cl, err := sink.Connect(t.Context(), w.cfg.Kafka, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	w.cl, w.adm = cl, kadm.NewClient(cl)
	return w
}

// store starts a store and waits until it is ready.
func (w *warehouse) store(t *testing.T) *Store {
	t.Helper()
	s, err := NewStore(w.cfg, w.ch, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	return s
}

// events puts n events that differ, each with so much text.
func (w *warehouse) events(t *testing.T, n, text int) {
	t.Helper()
	recs := make([]*kgo.Record, 0, n)
	noise := make([]byte, text/2) // that no codec makes much smaller
	for range n {
		for i := range noise {
			noise[i] = byte(rand.N(256))
		}
		ip := fmt.Sprintf("198.51.100.%d", w.put%250)
		value := fmt.Sprintf(`{"client_ip":%q,"method":"GET","path":"/n/%d","status":200,"user_agent":%q}`, ip, w.put, hex.EncodeToString(noise))
		recs = append(recs, &kgo.Record{Topic: w.cfg.Topics.Logs, Key: []byte(ip), Value: []byte(value)})
		w.put++
	}
	if err := w.cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// rows waits until there are n rows under FINAL, of as many records.
func (w *warehouse) rows(t *testing.T, n int) {
	t.Helper()
	want := fmt.Sprintf("%d\t%d", n, n)
	eventually(t, func() (bool, string) {
		got := dev.Query(t, w.addr, "SELECT count(), uniqExact(partition, offset) FROM "+w.ch.Database+".events FINAL")
		return got == want, fmt.Sprintf("rows and records: %s, want %d of each", got, n)
	})
}

// committed waits until so many records are committed.
func (w *warehouse) committed(t *testing.T, n int) {
	t.Helper()
	eventually(t, func() (bool, string) {
		got := w.commits(t)
		return got == int64(n), fmt.Sprintf("%d records are committed, want %d", got, n)
	})
}

func (w *warehouse) commits(t *testing.T) int64 {
	t.Helper()
	have, err := w.adm.FetchOffsets(t.Context(), w.cfg.Kafka.Group+"-store")
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	have.Each(func(o kadm.OffsetResponse) {
		if o.Topic == w.cfg.Topics.Logs {
			n += o.At
		}
	})
	return n
}

// TestStoreOutlivesWhatClickHouseRefuses: events wait in Kafka, the reason is told,
// and afterwards each is one row.
func TestStoreOutlivesWhatClickHouseRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		code int32
		want string
	}{
		"read-only":      {164, "readonly = 0"},
		"no right":       {497, "INSERT"},
		"out of disk":    {243, "make room"},
		"new password":   {516, "password_file"},
		"too many parts": {252, "code: 252"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine := dev.ClickHouse(t)
			way := dev.NewRefuser(t, engine)
			w := newWarehouse(t, engine, way.Addr, dev.Database(t, engine))
			s := w.store(t)
			w.events(t, 1000, 0)
			w.rows(t, 1000)
			w.committed(t, 1000)

			way.Refuse(tc.code)
			w.events(t, 2000, 0)
			eventually(t, func() (bool, string) {
				ok, why := s.Ready()
				return !ok && strings.Contains(why, tc.want), fmt.Sprintf("ready: %v, %q, want a reason with %q", ok, why, tc.want)
			})
			if n := w.commits(t); n != 1000 {
				t.Errorf("%d records are committed, want the 1000 that are stored", n)
			}
			way.Refuse(0)
			w.events(t, 500, 0)
			w.rows(t, 3500)
			w.committed(t, 3500)
			eventually(t, s.Ready)
			if n := len(topicRecords(t, w.cfg, w.cfg.Topics.DLQ)); n != 0 {
				t.Errorf("%d dead letters, want none", n)
			}
		})
	}
}

// TestStoreMakesDroppedTablesAgain: what was stored is gone, what comes is not lost.
func TestStoreMakesDroppedTablesAgain(t *testing.T) {
	engine := dev.ClickHouse(t)
	w := newWarehouse(t, engine, engine, dev.Database(t, engine))
	w.store(t)
	w.events(t, 1000, 0)
	w.rows(t, 1000)
	w.committed(t, 1000)
	dev.Query(t, engine, "DROP TABLE "+w.ch.Database+".events SYNC")
	w.events(t, 2000, 0)
	eventually(t, func() (bool, string) {
		got := dev.Query(t, engine, "SELECT count() FROM system.tables WHERE name = 'events' AND database = '"+w.ch.Database+"'")
		return got == "1", "there is no table yet"
	})
	w.rows(t, 2000)
}

// TestSlowInserts: no insert is faster than the group's patience, while a second
// member joins; nothing is lost, and both have their share in the end.
func TestSlowInserts(t *testing.T) {
	engine := dev.ClickHouse(t)
	way := dev.NewRefuser(t, engine)
	w := newWarehouse(t, engine, way.Addr, dev.Database(t, engine))
	w.store(t)
	way.Delay(insertPatience + 2*time.Second)
	w.events(t, 1000, 0)
	eventually(t, func() (bool, string) { return way.Asked() > 0, "no insert yet" })
	second := *w
	second.deps = realDeps(t, everyEvent)
	second.store(t)
	w.events(t, 1000, 0)
	eventually(t, func() (bool, string) {
		a, b := testutil.CollectAndCount(w.deps.Metrics.StoreLag)/2, testutil.CollectAndCount(second.deps.Metrics.StoreLag)/2
		return a == 6 && b == 6, fmt.Sprintf("%d and %d of twelve partitions, want six each", a, b)
	})
	w.rows(t, 2000)
	w.committed(t, 2000)
}

// TestRowsRefusedForEver are dead-lettered, their neighbours are stored.
func TestRowsRefusedForEver(t *testing.T) {
	engine := dev.ClickHouse(t)
	w := newWarehouse(t, engine, engine, dev.Database(t, engine))
	w.store(t)
	dev.Query(t, engine, "ALTER TABLE "+w.ch.Database+".events ADD CONSTRAINT no_sevens CHECK path NOT IN ('/n/7', '/n/77', '/n/777')")
	w.events(t, 1000, 0)
	w.rows(t, 997)
	w.committed(t, 1000)
	var got []string
	for _, r := range topicRecords(t, w.cfg, w.cfg.Topics.DLQ) {
		_, path, _ := strings.Cut(string(r.Value), `"path":"`)
		path, _, _ = strings.Cut(path, `"`)
		got = append(got, path+" "+header(r, sink.HeaderReason)+" "+header(r, sink.HeaderTopic))
		if !strings.Contains(header(r, sink.HeaderDetail), "no_sevens") || header(r, sink.HeaderOffset) == "" || header(r, sink.HeaderPartition) == "" {
			t.Errorf("dead letter without what is needed to find it:\n%s", headers(r))
		}
	}
	topic := w.cfg.Topics.Logs
	want := []string{"/n/7 clickhouse " + topic, "/n/77 clickhouse " + topic, "/n/777 clickhouse " + topic}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	if n := testutil.ToFloat64(w.deps.Metrics.DeadLetters.WithLabelValues("clickhouse")); n != 3 {
		t.Errorf("%v dead letters counted, want 3", n)
	}
}

// TestEngineIsKilledDuringInserts ends the engine as a crash does, three times, while
// events come.
func TestEngineIsKilledDuringInserts(t *testing.T) {
	dev.ClickHouse(t) // skips where there can be none
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	engine := dev.ClickHouseAlone(t, dir, "--listen", addr)
	w := newWarehouse(t, addr, addr, "apiwarden")
	w.store(t)
	for range 3 {
		before := testutil.ToFloat64(w.deps.Metrics.StoreRecords.WithLabelValues(w.cfg.Topics.Logs))
		w.events(t, 60_000, 100)
		eventually(t, func() (bool, string) {
			now := testutil.ToFloat64(w.deps.Metrics.StoreRecords.WithLabelValues(w.cfg.Topics.Logs))
			return now > before, "nothing is stored"
		})
		engine.Kill()
		w.events(t, 1000, 0)
		engine = dev.ClickHouseAlone(t, dir, "--listen", addr)
	}
	w.rows(t, w.put)
	w.committed(t, w.put)
}

// TestMemoryIsBoundedWhileClickHouseIsAway: what cannot be stored stays in Kafka.
func TestMemoryIsBoundedWhileClickHouseIsAway(t *testing.T) {
	engine := dev.ClickHouse(t)
	way := dev.NewRefuser(t, engine)
	w := newWarehouse(t, engine, way.Addr, dev.Database(t, engine))
	w.store(t)
	way.Refuse(243)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	const rounds, each, text = 20, 10_000, 2000
	for range rounds {
		w.events(t, each, text)
	}
	asked := way.Asked()
	eventually(t, func() (bool, string) { return way.Asked() >= asked+4, "no insert is tried" })
	grown := int64(heap()) - int64(before)
	t.Logf("the heap has grown by %d MB while %d MB wait in Kafka", grown>>20, rounds*each*text>>20)
	if grown > 250<<20 {
		t.Error("that is more than two batches and what has been fetched ahead")
	}
	way.Refuse(0)
	for n := each; n <= w.put; n += each { // a minute for each part
		eventually(t, func() (bool, string) {
			stored := testutil.ToFloat64(w.deps.Metrics.StoreRecords.WithLabelValues(w.cfg.Topics.Logs))
			return stored >= float64(n), fmt.Sprintf("%v records are stored, want %d", stored, n)
		})
	}
	w.rows(t, w.put)
}

// TestStoreEndsWithTheInsertOnItsWay: a stop waits for what is on its way and commits it.
func TestStoreEndsWithTheInsertOnItsWay(t *testing.T) {
	engine := dev.ClickHouse(t)
	way := dev.NewRefuser(t, engine)
	w := newWarehouse(t, engine, way.Addr, dev.Database(t, engine))
	s, err := NewStore(w.cfg, w.ch, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, s)
	way.Delay(2 * time.Second)
	w.events(t, 1000, 0)
	eventually(t, func() (bool, string) { return way.Asked() > 0, "no insert yet" })
	w.events(t, 1000, 0)
	stop()
	stored, err := strconv.Atoi(dev.Query(t, engine, "SELECT count() FROM "+w.ch.Database+".events FINAL"))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.commits(t); got != int64(stored) || stored < 1000 {
		t.Errorf("%d rows are stored and %d records committed, want as many and 1000 or more", stored, got)
	}
}

// TestPace in fake time: behind, catching up, caught up.
func TestPace(t *testing.T) {
	atSite(t, func(t *testing.T, _ *site) {
		rate := new(catchUpRate)
		p := pace{log: zap.NewNop(), rate: rate}
		l := new(lag)
		lags := map[topicPartition]*lag{{}: l}
		// store stores n records; the last one is so old then, and so many are left.
		store := func(n int, age time.Duration, left int64) {
			l.polled(left, &kgo.Record{})
			l.stamp.Store(time.Now().Add(-age).UnixMicro())
			p.finished(n, lags)
		}
		store(100, time.Second, 100)
		if got := rate.read(); got != 0 {
			t.Errorf("the rate is %v while it is not behind, want 0", got)
		}
		for i := range 12 {
			store(1000, time.Hour, int64(100_000-1000*i))
			time.Sleep(time.Second)
		}
		if got := rate.read(); got < 900 || got > 1100 {
			t.Errorf("the rate is %v, want 1000", got)
		}
		time.Sleep(paceStale)
		if got := rate.read(); got != 0 {
			t.Errorf("the rate is %v while nothing is stored, want 0", got)
		}
		store(1000, time.Hour, 50_000)
		store(1000, 0, 0)
		if got := rate.read(); got != 0 {
			t.Errorf("the rate is %v after it has caught up, want 0", got)
		}
	})
}
