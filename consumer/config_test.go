package consumer

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

func TestConfigKeys(t *testing.T) {
	const text = `
kafka: {group: g}
topics: {logs: other-logs}
input: {preset: nginx-json, fields: {user_id: x.y}, rekey: false, max_record_bytes: 2MiB}
state: {interval: 30s, max_bytes: 1GiB, shards: 16, max_endpoints: 100, max_baseline_bytes: 64MiB, stats_grace: 10s}
shutdown_timeout: 10s
`
	got := DefaultConfig()
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Kafka.Group, want.Topics.Logs = "g", "other-logs"
	want.Input = InputConfig{Preset: "nginx-json", Fields: map[string]string{"user_id": "x.y"}, MaxRecordBytes: 2 << 20}
	want.State = StateConfig{Interval: schemas.Duration(30e9), MaxBytes: 1 << 30, Shards: 16, MaxEndpoints: 100, MaxBaselineBytes: 64 << 20, StatsGrace: schemas.Duration(10e9)}
	want.ShutdownTimeout = schemas.Duration(10e9)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfigProblems(t *testing.T) {
	c := DefaultConfig()
	c.Kafka.Brokers, c.Topics.Bans = nil, ""
	c.Input = InputConfig{Preset: "nginks"}
	c.State = StateConfig{Shards: 3}
	c.ShutdownTimeout = 0
	err := c.Validate()
	for _, want := range []string{
		"kafka.brokers", "topics.bans", "input.max_record_bytes", "nginks",
		"state.interval", "state.max_bytes", "state.shards is 3", "state.max_endpoints", "state.max_baseline_bytes", "state.stats_grace", "shutdown_timeout",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a problem with %q, got %v", want, err)
		}
	}
}

func TestRulesWithAKeyNeedRekey(t *testing.T) {
	r := newRegistry()
	deps := Deps{
		Program: program(t, `
version: 1
rules:
  - {id: a, type: usage, threshold: 3, window: 1h}
  - {id: b, type: usage, threshold: 3, window: 1h, key: user_id}
`), Log: zap.NewNop(), Metrics: NewMetrics(r), Sink: sink.NewMetrics(r),
	}
	cfg := DefaultConfig()
	_, err := NewDetect(cfg, deps)
	if err == nil || !strings.Contains(err.Error(), "need input.rekey: true") || !strings.HasSuffix(err.Error(), ": b") {
		t.Errorf("got %v", err)
	}
	cfg.Input.Rekey = true
	if _, err := NewDetect(cfg, deps); err != nil {
		t.Error(err)
	}
}
