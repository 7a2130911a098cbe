package consumer

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/sink"
)

// gate is a way to a server that can be shut: connections are cut and refused.
type gate struct {
	addr string
	to   string

	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]bool
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: l.Addr().String(), to: to, conns: make(map[net.Conn]bool)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { g.pass(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		g.set(true)
		wg.Wait()
	})
	return g
}

func (g *gate) pass(c net.Conn) {
	defer c.Close()
	g.mu.Lock()
	if g.shut {
		g.mu.Unlock()
		return
	}
	g.conns[c] = true
	g.mu.Unlock()
	up, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		_, _ = io.Copy(up, c)
		up.Close()
	}()
	_, _ = io.Copy(c, up)
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for c := range g.conns {
			c.Close()
		}
		clear(g.conns)
	}
}

// TestClickHouseIsAwayWhileMembersComeAndGo: store keeps its place in the group, the
// group rebalances all the same, and in the end every row is there once.
func TestClickHouseIsAwayWhileMembersComeAndGo(t *testing.T) {
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) { clickHouseIsAway(t, protocol) })
	}
}

func clickHouseIsAway(t *testing.T, protocol string) {
	cfg := realConfig(t)
	cfg.Kafka.GroupProtocol = protocol
	addr := dev.ClickHouse(t)
	way := newGate(t, addr)
	ch := sink.DefaultClickHouseConfig()
	ch.Addresses, ch.Protocol, ch.Database = []string{way.addr}, "http", dev.Database(t, addr)
	deps := realDeps(t, everyEvent)
	first, err := NewStore(cfg, ch, deps)
	if err != nil {
		t.Fatal(err)
	}
	stopFirst := start(t, first)
	cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	put := func(n int) {
		t.Helper()
		var recs []*kgo.Record
		for i := range n {
			ip := "198.51.100." + strconv.Itoa(i%250)
			recs = append(recs, &kgo.Record{Topic: cfg.Topics.Logs, Key: []byte(ip), Value: []byte(event(ip, "/hit"))})
		}
		if err := cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	rows := func(n int) {
		t.Helper()
		eventually(t, func() (bool, string) {
			got := dev.Query(t, addr, "SELECT count() FROM "+ch.Database+".events FINAL")
			return got == strconv.Itoa(n), fmt.Sprintf("%s rows, want %d", got, n)
		})
	}
	put(1000)
	rows(1000)

	way.set(true)
	put(1000)
	time.Sleep(3 * time.Second) // the first member holds rows that it cannot insert
	direct := ch
	direct.Addresses = []string{addr}
	second, err := NewStore(cfg, direct, realDeps(t, everyEvent))
	if err != nil {
		t.Fatal(err)
	}
	start(t, second)
	eventually(t, func() (bool, string) {
		a, b := testutil.CollectAndCount(deps.Metrics.StoreLag)/2, testutil.CollectAndCount(second.deps.Metrics.StoreLag)/2
		return a == 6 && b == 6, fmt.Sprintf("%d and %d of twelve partitions, want six each", a, b)
	})
	put(1000)
	way.set(false)
	rows(3000)
	stopFirst()
	put(1000)
	rows(4000)
}

// TestStopWhileClickHouseIsAway ends in time; what is not stored is not committed.
func TestStopWhileClickHouseIsAway(t *testing.T) {
	cfg := realConfig(t)
	cfg.ShutdownTimeout = cfg.ShutdownTimeout / 5
	addr := dev.ClickHouse(t)
	way := newGate(t, addr)
	ch := sink.DefaultClickHouseConfig()
	ch.Addresses, ch.Protocol, ch.Database = []string{way.addr}, "http", dev.Database(t, addr)
	store, err := NewStore(cfg, ch, realDeps(t, everyEvent))
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, store)
	way.set(true)
	cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: cfg.Topics.Logs, Key: []byte("198.51.100.1"), Value: []byte(event("198.51.100.1", "/hit"))}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > time.Duration(cfg.ShutdownTimeout)+time.Second {
		t.Errorf("the stop took %s", took)
	}
	way.set(false)
	store, err = NewStore(cfg, ch, realDeps(t, everyEvent))
	if err != nil {
		t.Fatal(err)
	}
	start(t, store)
	eventually(t, func() (bool, string) {
		got := dev.Query(t, addr, "SELECT count() FROM "+ch.Database+".events FINAL")
		return got == "1", got + " rows, want the one that could not be stored"
	})
}
