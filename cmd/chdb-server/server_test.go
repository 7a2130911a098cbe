package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

func client(t *testing.T, addr string, compression clickhouse.CompressionMethod) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{addr}, Protocol: clickhouse.HTTP, Compression: &clickhouse.Compression{Method: compression, Level: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

type wide struct {
	N    uint64             `ch:"n"`
	S    string             `ch:"s"`
	L    string             `ch:"l"`
	O    *string            `ch:"o"`
	At   time.Time          `ch:"at"`
	A    []string           `ch:"a"`
	M    map[string]float64 `ch:"m"`
	Flag bool               `ch:"flag"`
	T    []any              `ch:"t"`
}

func TestBatchesOfTheDriver(t *testing.T) {
	addr := dev.ClickHouse(t)
	for name, method := range map[string]clickhouse.CompressionMethod{
		"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4, "gzip": clickhouse.CompressionGZIP,
	} {
		t.Run(name, func(t *testing.T) {
			table := dev.Database(t, addr) + ".wide"
			conn, ctx := client(t, addr, method), testContext(t)
			if err := conn.Exec(ctx, "CREATE TABLE "+table+` (n UInt64, s String, l LowCardinality(String), o LowCardinality(Nullable(String)),
				at DateTime64(6, 'UTC'), a Array(String), m Map(String, Float64), flag Bool, t Tuple(Int8, String)) ENGINE = MergeTree ORDER BY n`); err != nil {
				t.Fatal(err)
			}
			var want []wide
			for i := range 5000 {
				// 2570 is two newlines in binary.
				row := wide{
					N: uint64(i) * 2570, S: strings.Repeat("\n", i%5) + "\x00ü", L: fmt.Sprint(i % 7), At: time.UnixMicro(1_700_000_000_000_000 + int64(i)).UTC(),
					A: []string{"x", fmt.Sprint(i)}, M: map[string]float64{"k": float64(i)}, Flag: i%2 == 0, T: []any{int8(i % 100), "\n\n"},
				}
				if i%3 == 0 {
					row.O = &row.L
				}
				want = append(want, row)
			}
			batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+table+" (n, s, l, o, at, a, m, flag, t)")
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if err := batch.AppendStruct(&want[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			var got []wide
			if err := conn.Select(ctx, &got, "SELECT * FROM "+table+" ORDER BY n"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrorsOfTheDriver(t *testing.T) {
	conn := client(t, dev.ClickHouse(t), clickhouse.CompressionNone)
	for query, code := range map[string]int32{
		"SELECT * FROM no_such_table": 60, "SELEKT 1": 62, "SELECT no_such_column": 47, "SELECT throwIf(1)": 395,
	} {
		err := conn.Exec(testContext(t), query)
		ex, ok := errors.AsType[*clickhouse.Exception](err)
		if !ok || ex.Code != code {
			t.Errorf("%s: %v, want code %d", query, err, code)
		}
	}
	ctx := clickhouse.Context(testContext(t), clickhouse.WithParameters(clickhouse.Parameters{"id": "41"}), clickhouse.WithSettings(clickhouse.Settings{"max_threads": 3}))
	var id uint16
	var threads string
	if err := conn.QueryRow(ctx, "SELECT {id:UInt8} + 1, toString(getSetting('max_threads'))").Scan(&id, &threads); err != nil {
		t.Fatal(err)
	}
	if id != 42 || threads != "3" {
		t.Errorf("id %d, max_threads %s; want 42 and 3", id, threads)
	}
}

func TestManyClients(t *testing.T) {
	addr := dev.ClickHouse(t)
	var all sync.WaitGroup
	for i := range 8 {
		conn := client(t, addr, clickhouse.CompressionLZ4)
		all.Go(func() {
			for k := range 20 {
				ctx := clickhouse.Context(testContext(t), clickhouse.WithSettings(clickhouse.Settings{"max_result_rows": 1000 + i}))
				var got uint64
				var setting string
				if err := conn.QueryRow(ctx, fmt.Sprintf("SELECT toUInt64(%d), toString(getSetting('max_result_rows'))", i*100+k)).Scan(&got, &setting); err != nil {
					t.Error(err)
					return
				}
				if got != uint64(i*100+k) || setting != fmt.Sprint(1000+i) {
					t.Errorf("client %d asked for %d and got %d with max_result_rows %s", i, i*100+k, got, setting)
				}
			}
		})
	}
	all.Wait()
}

// TestPlainHTTP is what people do with curl.
func TestPlainHTTP(t *testing.T) {
	addr := dev.ClickHouse(t)
	db := dev.Database(t, addr)
	dev.Query(t, addr, "CREATE TABLE "+db+".t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	io.WriteString(zw, "{\"a\":3,\"s\":\"z\"}\n")
	zw.Close()
	do := func(method, query, body string, headers ...string) (int, string, http.Header) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+addr+"/?"+strings.ReplaceAll(query, " ", "+"), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text), resp.Header
	}
	do("POST", "database="+db+"&query=INSERT INTO t FORMAT TSV", "1\tone\\n\\n\n2\ttwo\n")
	do("POST", "database="+db+"&query=INSERT INTO t FORMAT JSONEachRow", zipped.String(), "Content-Encoding", "gzip")
	do("POST", "database="+db, "INSERT INTO t VALUES (4, 'four\n\n'), (5, 'five')")
	for _, tc := range []struct {
		method, query, body string
		status              int
		want, kind          string
	}{
		{"GET", "query=SELECT a, s FROM " + db + ".t ORDER BY a FORMAT CSV", "", 200, "1,\"one\n\n\"\n2,\"two\"\n3,\"z\"\n4,\"four\n\n\"\n5,\"five\"\n", "text/csv"},
		{"POST", "default_format=JSONEachRow", "SELECT 1 AS x", 200, "{\"x\":1}\n", "application/x-ndjson"},
		{"POST", "", "SELECT 1 AS x", 200, "1\n", "text/tab-separated-values"},
		{"GET", "", "", 200, "Ok.\n", "text/plain"},
		{"POST", "", "  ", 400, "Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)\n", "text/plain"},
		{"POST", "max_memory=7", "SELECT 1", 404, "", "text/plain"},
		{"POST", "", "SELECT " + strings.Repeat("1+", maxStatement/2) + "1", 413, "", "text/plain"},
	} {
		status, text, header := do(tc.method, tc.query, tc.body)
		if status != tc.status || tc.want != "" && text != tc.want || !strings.HasPrefix(header.Get("Content-Type"), tc.kind) {
			t.Errorf("%s %q %.40q: %d %.200q %s, want %d %q %s", tc.method, tc.query, tc.body, status, text, header.Get("Content-Type"), tc.status, tc.want, tc.kind)
		}
		if (status != 200) != (header.Get("X-ClickHouse-Exception-Code") != "") {
			t.Errorf("%s %q: status %d with code %q", tc.method, tc.query, status, header.Get("X-ClickHouse-Exception-Code"))
		}
	}
	resp, err := http.Get("http://" + addr + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("/ping: %d", resp.StatusCode)
	}
}

func TestRestartKeepsData(t *testing.T) {
	dir := t.TempDir()
	first := dev.ClickHouseAlone(t, dir)
	dev.Query(t, first.Addr, "CREATE TABLE kept (x UInt8) ENGINE = MergeTree ORDER BY x")
	dev.Query(t, first.Addr, "INSERT INTO kept SELECT number FROM numbers(10)")
	first.Stop()
	second := dev.ClickHouseAlone(t, dir)
	if got := dev.Query(t, second.Addr, "SELECT count() FROM kept"); got != "10" {
		t.Errorf("%s rows after a restart, want 10", got)
	}
}
