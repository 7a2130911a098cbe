// Package dev gives tests the real services and the shared test data. What cannot
// be had skips the test with a line that says why, and fails it where CI=true.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/deploy/dev/service"
)

// Kafka is the bootstrap address of a real broker: that of $APIWARDEN_TEST_KAFKA,
// else one that this test process starts once. It is shared, so tests name their
// topics and groups uniquely.
func Kafka(t testing.TB) string {
	t.Helper()
	if addr := os.Getenv("APIWARDEN_TEST_KAFKA"); addr != "" {
		return addr
	}
	return kafka.get(t).Addr
}

// SASL says how to log in at a listener with PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
type SASL struct{ Broker, Username, Password string }

// KafkaSASL is a listener with SASL (without TLS) of the broker of Kafka.
func KafkaSASL(t testing.TB) SASL {
	t.Helper()
	addr := os.Getenv("APIWARDEN_TEST_KAFKA_SASL")
	if addr == "" {
		addr = kafka.get(t).Extra["sasl"]
	}
	return SASL{Broker: addr, Username: "apiwarden", Password: "apiwarden-secret"}
}

// KafkaTLS is a listener with TLS of the broker of Kafka, and the file of the CA
// that its certificate goes back to.
func KafkaTLS(t testing.TB) (addr, ca string) {
	t.Helper()
	both := os.Getenv("APIWARDEN_TEST_KAFKA_TLS")
	if both == "" {
		both = kafka.get(t).Extra["tls"]
	}
	addr, ca, _ = strings.Cut(both, " ")
	return addr, ca
}

// ClickHouse is the address (host:port, HTTP) of a real ClickHouse engine: that of
// $APIWARDEN_TEST_CLICKHOUSE, else one that this test process starts once. It is
// shared, so tests use a Database of their own.
func ClickHouse(t testing.TB) string {
	t.Helper()
	if addr := os.Getenv("APIWARDEN_TEST_CLICKHOUSE"); addr != "" {
		return addr
	}
	return clickHouse.get(t).Addr
}

// ClickHouseAlone starts an engine for this test only, with further flags of
// chdb-server (--user, --password-file, --listen). It is stopped when the test ends.
func ClickHouseAlone(t testing.TB, dir string, flags ...string) *service.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	p, err := service.ClickHouse(ctx, nil, dir, flags...)
	if err != nil {
		absent(t, err)
	}
	t.Cleanup(p.Stop)
	return p
}

// NativeClickHouse starts an installed ClickHouse server (of any version) for this
// test only, with further flags of clickhouse-native.sh (--port, --password-file). It
// is stopped when the test ends.
func NativeClickHouse(t testing.TB, dir string, flags ...string) *service.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	p, err := service.NativeClickHouse(ctx, nil, dir, flags...)
	if err != nil {
		absent(t, err)
	}
	t.Cleanup(p.Stop)
	return p
}

// Database makes a database with a name of its own at addr (as ClickHouse gives it)
// and drops it when the test ends.
func Database(t testing.TB, addr string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), time.Now().UnixNano())
	Query(t, addr, "CREATE DATABASE "+name)
	t.Cleanup(func() { Query(t, addr, "DROP DATABASE IF EXISTS "+name+" SYNC") })
	return name
}

// Query runs one statement at addr (HTTP) and gives the answer as text, without the
// last newline.
func Query(t testing.TB, addr, statement string) string {
	t.Helper()
	resp, err := http.Post("http://"+addr+"/", "text/plain", strings.NewReader(statement))
	if err != nil {
		t.Fatalf("asking ClickHouse: %v", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("asking ClickHouse: %v", err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("asking ClickHouse %s: %s", statement, answer)
	}
	return strings.TrimSuffix(string(answer), "\n")
}

// Shared is the folder of the shared test data: $APIWARDEN_TESTDATA, else "shared"
// beside the repository.
func Shared(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("APIWARDEN_TESTDATA")
	if dir == "" {
		repo, err := service.Repository()
		if err != nil {
			absent(t, err)
		}
		dir = filepath.Join(filepath.Dir(repo), "shared")
	}
	if _, err := os.Stat(dir); err != nil {
		absent(t, &service.AbsentError{What: "shared test data " + dir})
	}
	return dir
}

// Missing skips the test because what is absent, and fails it where CI=true.
func Missing(t testing.TB, what string) {
	t.Helper()
	absent(t, &service.AbsentError{What: what})
}

func absent(t testing.TB, err error) {
	t.Helper()
	var gone *service.AbsentError
	if errors.As(err, &gone) && os.Getenv("CI") != "true" {
		t.Skipf("%v: this test needs it", err)
	}
	t.Fatal(err)
}

const startTimeout = 5 * time.Minute // the first start fetches the service

// once is a service that a test process starts when it is first asked for. It ends
// with the process, so no test has to be the last one.
type once struct {
	begin func() (*service.Process, error)
	mu    sync.Mutex
	done  bool
	p     *service.Process
	err   error
}

func (o *once) get(t testing.TB) *service.Process {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.done {
		o.p, o.err = o.begin()
		o.done = true
	}
	if o.err != nil {
		absent(t, o.err)
	}
	return o.p
}

// The only package variables: a test process has one of each, whichever of its
// tests asks first.
var (
	kafka = once{begin: func() (*service.Process, error) {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		return service.Kafka(ctx, nil)
	}}
	clickHouse = once{begin: func() (*service.Process, error) {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		return service.ClickHouse(ctx, nil, "")
	}}
)
