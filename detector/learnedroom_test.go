package detector

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/schemas"
)

// TestBaselinesAreBounded: 200,000 endpoints, all of them busy, in 64 MiB. What is
// busiest keeps its series, and a scan of ever new paths does not drive it out.
func TestBaselinesAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given, and this merges millions of summaries")
	}
	const bound = 64 << 20
	p := mustLoad(t, allLearned+"  - {id: slow, type: latency}\n")
	b := NewBaselines(p, BaselinesOptions{MaxBytes: bound})
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := schemas.Summary{Version: schemas.SummaryVersion, View: p.Views()[0].ID}
	lost := 0
	tell := func(start int64, name string, requests int64) {
		s.Endpoint, s.Start, s.Requests, s.Classes[1] = name, start, requests, requests
		s.Clients = []uint32{1, 2, 3}
		s.Latency = []schemas.BinCount{{Bin: 40, Count: requests}}
		s.Evidence = []schemas.LatencyEvidence{{Time: start * microseconds, Latency: 80, Hash: 1}}
		if b.Merge(&s) == NoRoom {
			lost++
		}
	}
	const periods = 14
	for i := range int64(periods) {
		start := monday + i*learnedPeriod
		for j := range 30 { // ten seconds each, in each of which others are asked
			at := start + int64(j)*schemas.SummarySeconds
			for k := range 50 {
				tell(at, fmt.Sprint("GET /busy/", k), 20)
			}
			for k := j; k < 200_000; k += 30 {
				tell(at, fmt.Sprint("GET /e/", k), 1+int64(k%10))
			}
			for k := range 200 {
				tell(at, fmt.Sprint("GET /scan/", i, "/", j, "/", k), 1)
			}
			b.Mark(&schemas.SummaryMark{Version: schemas.SummaryVersion, Partitions: 1, Closed: at + 10, Traffic: []schemas.BucketTraffic{{Start: at, Requests: 1}}})
			b.Close(b.Complete(), nil)
			bytes := int64(0)
			for i := range b.shards {
				bytes += b.shards[i].bytes + b.shards[i].openBytes
			}
			if bytes > bound {
				t.Fatalf("%d bytes", bytes)
			}
		}
	}
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	stats := b.Stats()
	t.Logf("%+v, %d MiB of heap, %d summaries lost", stats, (after.HeapAlloc-before.HeapAlloc)>>20, lost)
	if got := after.HeapAlloc - before.HeapAlloc; got > 2*bound {
		t.Errorf("%d bytes of heap for a bound of %d", got, bound)
	}
	watched := 0
	for i := range b.shards {
		for _, e := range b.shards[i].endpoints {
			if len(e.key) > 9 && e.key[:9] == "GET /busy" && e.watched > 0 {
				watched++
			}
		}
		sum := int64(0)
		for _, e := range b.shards[i].endpoints {
			sum += e.bytes()
		}
		if diff := cmp.Diff(sum, b.shards[i].bytes); diff != "" {
			t.Errorf("bytes of shard %d (-counted anew +kept):\n%s", i, diff)
		}
	}
	if watched != 50 {
		t.Errorf("%d of the 50 busiest endpoints have their series", watched)
	}
}
