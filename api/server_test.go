package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

func TestServer(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "apiwarden_test", Help: "A test."}))
	var up atomic.Bool
	s, err := New(HTTPConfig{Listen: "127.0.0.1:0"}, reg, func() (bool, string) { return up.Load(), "waiting for Kafka" }, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- s.Serve(ctx, l) }()
	base := "http://" + l.Addr().String()

	want := func(path string, status int, text string) {
		t.Helper()
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status || !strings.Contains(string(body), text) {
			t.Errorf("GET %s: %d %q, want %d %q", path, resp.StatusCode, body, status, text)
		}
	}
	want("/healthz", 200, "alive")
	want("/readyz", 503, "waiting for Kafka")
	up.Store(true)
	want("/readyz", 200, "ready")
	want("/metrics", 200, "apiwarden_test 0")
	want("/", 404, "")

	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the server does not stop")
	}
}

func TestHTTPConfig(t *testing.T) {
	for _, c := range []struct{ listen, keys, problem string }{
		{"127.0.0.1:8080", "", ""},
		{"[::1]:0", "", ""},
		{"localhost:8080", "", ""},
		{"[::ffff:127.0.0.1]:80", "", ""},
		{":8080", "", "loopback"},
		{"0.0.0.0:8080", "", "loopback"},
		{"api.example.org:80", "", "loopback"},
		{"0.0.0.0:8080", "keys.yaml", "loopback"},
		{"127.0.0.1:8080", "keys.yaml", "does not check API keys"},
		{"127.0.0.1", "", "host:port"},
		{"127.0.0.1:http", "", "no port"},
		{"127.0.0.1:70000", "", "no port"},
	} {
		err := HTTPConfig{Listen: c.listen, KeysFile: c.keys}.Validate()
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%s: %v", c.listen, err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%s: want a problem with %q, got %v", c.listen, c.problem, err)
		}
	}
}
