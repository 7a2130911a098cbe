package sink

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap/zaptest"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

// faultyProxy passes connections on to a server, and breaks some of them.
type faultyProxy struct {
	addr string

	mu    sync.Mutex
	plans []plan // of the next connections; without one a connection is passed on whole
}

// plan is how a connection breaks.
type plan struct {
	requestBytes int64 // cut after so many bytes to the server; 0: not there
	loseAnswer   int   // cut when the server gives this answer, from 1; 0: never
	hang         bool  // never answer
}

func newFaultyProxy(t *testing.T, server string) *faultyProxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &faultyProxy{addr: ln.Addr().String()}
	var serving sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		ln.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			down, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(ctx, down, server) })
		}
	})
	return p
}

func (p *faultyProxy) breakNext(plans ...plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plans = append(p.plans, plans...)
}

func (p *faultyProxy) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.plans)
}

func (p *faultyProxy) serve(ctx context.Context, down net.Conn, server string) {
	defer down.Close()
	up, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer up.Close()
	defer context.AfterFunc(ctx, func() { down.Close(); up.Close() })()
	var first [1]byte
	if _, err := io.ReadFull(down, first[:]); err != nil {
		return
	}
	// Chosen at the first byte: the client may open a connection ahead of time.
	p.mu.Lock()
	var how plan
	if len(p.plans) > 0 {
		how, p.plans = p.plans[0], p.plans[1:]
	}
	p.mu.Unlock()
	up.Write(first[:])
	var requests sync.WaitGroup
	defer requests.Wait()
	requests.Go(func() {
		if how.requestBytes > 0 {
			io.CopyN(up, down, how.requestBytes)
			down.Close()
		} else {
			io.Copy(up, down)
		}
		up.Close()
	})
	switch {
	case how.hang:
		<-ctx.Done()
	case how.loseAnswer > 0:
		answer := make([]byte, 64<<10) // an answer here is one small segment
		for range how.loseAnswer - 1 {
			n, err := up.Read(answer)
			if err != nil {
				break
			}
			down.Write(answer[:n])
		}
		up.Read(answer)
	default:
		io.Copy(down, up)
	}
	down.Close()
}

func TestRetriesAreStoredOnce(t *testing.T) {
	c := testConfig(t)
	openTest(t, c)
	direct := c.Addresses
	proxy := newFaultyProxy(t, direct[0])
	c.Addresses = []string{proxy.addr}
	ch := closedTest(t, c)
	// The first answer on a connection is that of the driver's handshake, the second
	// that of the insert, which by then has been done.
	proxy.breakNext(plan{loseAnswer: 1}, plan{loseAnswer: 2}, plan{requestBytes: 1}, plan{requestBytes: 20_000}, plan{loseAnswer: 2})
	if err := ch.InsertEvents(testContext(t), manyEvents(ch, 20_000, func(int) int64 { return time.Now().UnixMicro() })); err != nil {
		t.Fatal(err)
	}
	if n := proxy.left(); n != 0 {
		t.Errorf("%d of the faults did not happen", n)
	}
	c.Addresses = direct
	if got := countOf(t, c, "SELECT count() FROM DB.events"); got != "60000" {
		t.Errorf("%s rows came, want 20000 three times: two answers were lost", got)
	}
	if got := countOf(t, c, "SELECT count(), uniqExact(partition, offset) FROM DB.events FINAL"); got != "20000\t20000" {
		t.Errorf("rows and records: %s, want 20000 of each", got)
	}
	if n := testutil.ToFloat64(ch.metrics.Rows.WithLabelValues("events")); n != 20_000 {
		t.Errorf("rows metric = %v, want 20000", n)
	}
	if n := testutil.ToFloat64(ch.metrics.Retries.WithLabelValues("clickhouse")); n != 5 {
		t.Errorf("retries metric = %v, want 5", n)
	}
}

func TestShutdownDeadline(t *testing.T) {
	c := testConfig(t)
	ch := openTest(t, c)
	proxy := newFaultyProxy(t, c.Addresses[0])
	for range 100 {
		proxy.breakNext(plan{hang: true})
	}
	c.Addresses = []string{proxy.addr}
	stuck, err := newClickHouse(c, zaptest.NewLogger(t), NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stuck.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	began := time.Now()
	err = stuck.InsertEvents(ctx, manyEvents(ch, 10, func(int) int64 { return time.Now().UnixMicro() }))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v, the deadline was 1 s", took)
	}
}

func TestBadRows(t *testing.T) {
	c := testConfig(t)
	ch := openTest(t, c)
	dev.Query(t, c.Addresses[0], "ALTER TABLE "+c.Database+".events ADD CONSTRAINT no_teapot CHECK offset NOT IN (7, 8, 4999)")
	err := ch.InsertEvents(testContext(t), manyEvents(ch, 5000, func(int) int64 { return time.Now().UnixMicro() }))
	bad, ok := errors.AsType[BadRows](err)
	if !ok {
		t.Fatalf("error %v, want bad rows", err)
	}
	var index []int
	for _, b := range bad {
		index = append(index, b.Index)
		if !strings.Contains(b.Err.Error(), "no_teapot") {
			t.Errorf("row %d: %v, want the constraint's name", b.Index, b.Err)
		}
	}
	if diff := cmp.Diff([]int{7, 8, 4999}, index); diff != "" {
		t.Errorf("bad rows (-want +got):\n%s", diff)
	}
	if got := countOf(t, c, "SELECT count() FROM DB.events FINAL"); got != "4997" {
		t.Errorf("%s rows, want the 4997 others", got)
	}
	if n := testutil.ToFloat64(ch.metrics.Rows.WithLabelValues("events")); n != 4997 {
		t.Errorf("rows metric = %v, want 4997", n)
	}
}

func TestWrongPassword(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	server := dev.ClickHouseAlone(t, "", "--user", "writer", "--password-file", file("right", "s3cret ü\n"))
	c := DefaultClickHouseConfig()
	c.Addresses, c.Protocol, c.Username = []string{server.Addr}, ProtocolHTTP, "writer"
	c.PasswordFile = file("wrong", "guess")
	_, err := OpenClickHouse(testContext(t), c, zaptest.NewLogger(t), NewMetrics(prometheus.NewRegistry()))
	if !IsPermanent(err) || !strings.Contains(err.Error(), "password_file") || !strings.Contains(err.Error(), server.Addr) {
		t.Errorf("error %v, want a permanent one that names the server and the password file", err)
	}
	if strings.Contains(err.Error(), "guess") {
		t.Errorf("error %v shows the password", err)
	}
	c.PasswordFile = filepath.Join(dir, "right")
	openTest(t, c)
}

func TestWrongPort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno\n")
			conn.Close()
		}
	}()
	for _, protocol := range []string{ProtocolNative, ProtocolHTTP} {
		t.Run(protocol, func(t *testing.T) {
			c := DefaultClickHouseConfig()
			c.Addresses, c.Protocol = []string{ln.Addr().String()}, protocol
			_, err := OpenClickHouse(testContext(t), c, zaptest.NewLogger(t), NewMetrics(prometheus.NewRegistry()))
			if !IsPermanent(err) || !strings.Contains(err.Error(), "check clickhouse.protocol") {
				t.Errorf("error %v, want a permanent one about the protocol", err)
			}
		})
	}
}

// TestServerComesAndGoes starts without a server, then has one, loses it to a crash
// in the middle of inserts and gets it back.
func TestServerComesAndGoes(t *testing.T) {
	dev.ClickHouse(t) // skips where there can be none
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	c := DefaultClickHouseConfig()
	c.Addresses, c.Protocol = []string{addr}, ProtocolHTTP
	metrics := NewMetrics(prometheus.NewRegistry())
	type opened struct {
		ch  *ClickHouse
		err error
	}
	result := make(chan opened, 1)
	ctx := testContext(t)
	go func() {
		ch, err := OpenClickHouse(ctx, c, zaptest.NewLogger(t), metrics)
		result <- opened{ch, err}
	}()
	for testutil.ToFloat64(metrics.Retries.WithLabelValues("clickhouse")) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	dir := t.TempDir()
	server := dev.ClickHouseAlone(t, dir, "--listen", addr)
	got := <-result
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer got.ch.Close()

	inserted := make(chan error, 1)
	half := make(chan struct{})
	go func() {
		b := manyEvents(got.ch, 4000, func(i int) int64 { return time.Now().UnixMicro() })
		for i := range 20 {
			if i == 5 {
				close(half)
			}
			for row := range b.offsets {
				b.offsets[row] = int64(i*4000 + row)
			}
			if err := got.ch.InsertEvents(ctx, b); err != nil {
				inserted <- err
				return
			}
		}
		inserted <- nil
	}()
	<-half
	server.Kill()
	dev.ClickHouseAlone(t, dir, "--listen", addr)
	if err := <-inserted; err != nil {
		t.Fatal(err)
	}
	if got := countOf(t, c, "SELECT count(), uniqExact(partition, offset) FROM DB.events FINAL"); got != "80000\t80000" {
		t.Errorf("rows and records: %s, want 80000 of each", got)
	}
}
