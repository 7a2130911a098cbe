package consumer

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkCopy is the work of the rekey stage for one record, without Kafka: an
// event with a user, which has two copies.
func BenchmarkCopy(b *testing.B) {
	c, err := newCopier(DefaultConfig(), program(b, rekeyRules), 2<<20)
	if err != nil {
		b.Fatal(err)
	}
	r := &kgo.Record{
		Topic: "api-logs", Timestamp: time.Now(),
		Value: []byte(`{"timestamp":"2026-01-01T10:00:00Z","client_ip":"10.0.0.7","x_forwarded_for":"198.51.100.2","method":"POST","path":"/api/login","status":401,"latency_ms":12.5,"user_agent":"Mozilla/5.0 (X11; Linux x86_64)","user_id":"anna"}`),
	}
	b.ReportAllocs()
	var copies []*kgo.Record
	for b.Loop() {
		copies = c.appendCopies(copies[:0], r)
	}
	if len(copies) != 2 {
		b.Fatalf("%d copies", len(copies))
	}
}
