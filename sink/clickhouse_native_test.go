package sink

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap/zaptest"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

// The installed server may be too old for our tables, so these tests have one of
// their own.
const nativeTable = "CREATE TABLE probe (id UInt64, text String) ENGINE = ReplacingMergeTree() ORDER BY id"

func nativeInsert(from uint64) insert {
	return insert{
		table: table{name: "probe", columns: []clickhouse.ColumnNameAndType{{Name: "id", Type: "UInt64"}, {Name: "text", Type: "String"}}},
		fill: func(batch driver.Batch, rows []int) error {
			ids := gather(rows, func(row int) uint64 { return from + uint64(row) })
			if err := batch.Column(0).Append(ids); err != nil {
				return err
			}
			return batch.Column(1).Append(gather(rows, func(int) string { return "\x00\n\n" }))
		},
	}
}

func onePartition(int) int { return 0 }

func nativeConfig(addr string) ClickHouseConfig {
	c := DefaultClickHouseConfig()
	c.Addresses, c.Database = []string{addr}, "default"
	return c
}

func nativeCount(t *testing.T, ch *ClickHouse) uint64 {
	t.Helper()
	var n uint64
	if err := ch.conn.QueryRow(testContext(t), "SELECT count() FROM (SELECT id FROM probe FINAL)").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNativeOutage loses the server in the middle of inserts and gets it back.
func TestNativeOutage(t *testing.T) {
	dir := t.TempDir()
	server := dev.NativeClickHouse(t, dir)
	ch := closedTest(t, nativeConfig(server.Addr))
	if err := ch.conn.Exec(testContext(t), nativeTable); err != nil {
		t.Fatal(err)
	}
	const rows, inserts = 5000, 20
	inserted, half := make(chan error, 1), make(chan struct{})
	ctx := testContext(t)
	go func() {
		for i := range inserts {
			if i == 5 {
				close(half)
			}
			if err := ch.insertRows(ctx, nativeInsert(uint64(i*rows)), rows, onePartition); err != nil {
				inserted <- err
				return
			}
		}
		inserted <- nil
	}()
	<-half
	server.Kill()
	_, port, err := net.SplitHostPort(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	dev.NativeClickHouse(t, dir, "--port", port)
	if err := <-inserted; err != nil {
		t.Fatal(err)
	}
	if n := nativeCount(t, ch); n != rows*inserts {
		t.Errorf("%d rows, want %d", n, rows*inserts)
	}
}

func TestNativeFaults(t *testing.T) {
	server := dev.NativeClickHouse(t, t.TempDir())
	proxy := newFaultyProxy(t, server.Addr)
	ch := closedTest(t, nativeConfig(proxy.addr))
	if err := ch.conn.Exec(testContext(t), nativeTable); err != nil {
		t.Fatal(err)
	}
	direct := closedTest(t, nativeConfig(server.Addr))
	ch = closedTest(t, nativeConfig(proxy.addr))
	// On a connection the server answers to the greeting, to the INSERT (its columns)
	// and to the data.
	proxy.breakNext(plan{loseAnswer: 1}, plan{loseAnswer: 2}, plan{loseAnswer: 3}, plan{requestBytes: 1}, plan{requestBytes: 5_000})
	if err := ch.insertRows(testContext(t), nativeInsert(0), 50_000, onePartition); err != nil {
		t.Fatal(err)
	}
	if n := proxy.left(); n != 0 {
		t.Errorf("%d of the faults did not happen", n)
	}
	if n := nativeCount(t, direct); n != 50_000 {
		t.Errorf("%d rows, want 50000", n)
	}
	if n := testutil.ToFloat64(ch.metrics.Retries.WithLabelValues("clickhouse")); n != 5 {
		t.Errorf("retries metric = %v, want 5", n)
	}
}

// TestNativeServerTooOld: a server that is too old for the schema says so instead of
// being asked for ever.
func TestNativeServerTooOld(t *testing.T) {
	server := dev.NativeClickHouse(t, t.TempDir())
	c := nativeConfig(server.Addr)
	c.Database = "apiwarden"
	_, err := OpenClickHouse(testContext(t), c, zaptest.NewLogger(t), NewMetrics(prometheus.NewRegistry()))
	if err != nil && !IsPermanent(err) {
		t.Errorf("error %v, want none or a permanent one", err)
	}
}

func TestNativeWrongPassword(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right := file("right", "s3cret\n")
	server := dev.NativeClickHouse(t, t.TempDir(), "--password-file", right)
	c := nativeConfig(server.Addr)
	c.PasswordFile = file("wrong", "guess")
	_, err := OpenClickHouse(testContext(t), c, zaptest.NewLogger(t), NewMetrics(prometheus.NewRegistry()))
	if !IsPermanent(err) || !strings.Contains(err.Error(), "password_file") || strings.Contains(err.Error(), "guess") {
		t.Errorf("error %v, want a permanent one that names the password file and not the password", err)
	}
	c.PasswordFile = right
	ch := closedTest(t, c)
	if err := ch.conn.Ping(testContext(t)); err != nil {
		t.Error(err)
	}
}

func TestNativeServerAbsent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	metrics := NewMetrics(prometheus.NewRegistry())
	ch, err := newClickHouse(nativeConfig(addr), zaptest.NewLogger(t), metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	pinged := make(chan error, 1)
	ctx := testContext(t)
	go func() { pinged <- ch.retry(ctx, "connecting", ch.conn.Ping) }()
	for testutil.ToFloat64(metrics.Retries.WithLabelValues("clickhouse")) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	dev.NativeClickHouse(t, t.TempDir(), "--port", port)
	if err := <-pinged; err != nil {
		t.Error(err)
	}
}
