package consumer

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// BenchmarkVerify verifies what detect made of the log of BenchmarkDetect. An op is the
// whole topic.
func BenchmarkVerify(b *testing.B) {
	cfg, cl, _ := benchLog(b)
	reg := newRegistry()
	deps := Deps{Program: program(b, sixRules), Log: zap.NewNop(), Metrics: NewMetrics(reg), Sink: sink.NewMetrics(reg)}
	d, err := NewDetect(cfg, deps)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	awaitCommitted(b, cl, cfg.Kafka.Group, 50*time.Millisecond)
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	var events, verdicts int64
	for b.Loop() {
		v, err := NewVerify(cfg, VerifyOptions{}, deps)
		if err != nil {
			b.Fatal(err)
		}
		r, err := v.Run(b.Context())
		if err != nil || r.Differences > 0 {
			b.Fatal(err, r)
		}
		events, verdicts = events+r.Events, r.Expected
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(verdicts), "verdicts")
}

// BenchmarkExpectations adds a million verdicts as they are, and says what one of them
// takes.
func BenchmarkExpectations(b *testing.B) {
	const n = 1_000_000
	threshold, bans := 100.0, schemas.Micros(0)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		x, err := newExpectations()
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			t := schemas.Micros(1_767_225_600_000_000 + int64(i)*12_345)
			bans = t + 3_600_000_000
			v := schemas.Verdict{
				VerdictID: fmt.Sprintf("%016x%016x", uint64(i+1)*0x9e3779b97f4a7c15, uint64(i+1)*0xd1b54a32d192ed03), RuleID: "api-volume", RuleVersion: "0123456789ab", RuleType: "usage",
				Trigger: &schemas.Position{Topic: "api-logs", Partition: int32(i % 12), Offset: int64(i) * 37}, Scope: schemas.ScopeIP,
				Subject: fmt.Sprintf("10.%d.%d.%d", i%7, i/7%256, i/1792%256), Endpoint: "GET /api/products/{id}", Action: schemas.ActionBan, ActionTaken: "ban",
				Count: 101, Threshold: &threshold, WindowS: 60, EventTime: t, RecordTime: &t, ExpiresAt: &bans, Message: strings.Repeat("slow down ", 3),
				Details:  fmt.Sprintf("10.%d.%d.%d made 101 requests within 1m; 100 are allowed", i%7, i/7%256, i/1792%256),
				Evidence: schemas.Evidence{FromTime: t - 60_000_000, ToTime: t, Trigger: fmt.Sprintf("GET /api/products/%d → 200", i)},
			}
			if err := x.add(&v, 0, 0); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "bytes/verdict")
		runtime.KeepAlive(x)
	}
}
