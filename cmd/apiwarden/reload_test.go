package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
)

// TestRulesOnDisk changes rules while a reloader watches them.
func TestRulesOnDisk(t *testing.T) {
	const rules = "version: 1\nrules: [{id: a, type: usage, threshold: 5, window: 1h}]\n"
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(rules)
	program, err := detector.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	adopted := make(chan int64, 9)
	r := &reloader{path: file, log: zap.NewNop(), metrics: newReloadMetrics(prometheus.NewRegistry()), hash: program.Hash(),
		adopt: func(p *detector.Program) error {
			if p.Rules()[0].Threshold == 99 {
				return errors.New("ninety-nine is too many")
			}
			adopted <- p.Rules()[0].Threshold
			return nil
		}}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.run(ctx) }()
	want := func(what string, threshold int64) {
		t.Helper()
		select {
		case got := <-adopted:
			if got != threshold {
				t.Errorf("%s: adopted threshold %d, want %d", what, got, threshold)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: nothing was adopted", what)
		}
	}
	refused := func(what, why string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !strings.Contains(r.refusedWhy(), why); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: refused is %q, want %q", what, r.refusedWhy(), why)
			}
		}
		if testutil.ToFloat64(r.metrics.Refused) != 1 {
			t.Errorf("%s: the metric does not say so", what)
		}
	}
	write(strings.Replace(rules, "5", "6", 1))
	want("a changed file", 6)
	write("version: 1\nrules: [{id: a, type: usage, treshold: 7, window: 1h}]\n")
	refused("a broken file", "rules.yaml:2")
	write(strings.Replace(rules, "5", "99", 1))
	refused("rules that a role refuses", "ninety-nine")
	write(strings.Replace(rules, "5", "8", 1))
	want("a mended file", 8)
	// What is adopted is said a moment later.
	for deadline := time.Now().Add(30 * time.Second); r.refusedWhy() != "" || testutil.ToFloat64(r.metrics.Refused) != 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("mended, and still refused: %q", r.refusedWhy())
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refused("no file", "rules.yaml")
	write(strings.Replace(rules, "5", "9", 1))
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	want("SIGHUP", 9)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
