package sink

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
)

// TestSummariesOfAnEndpointMeet: all of an endpoint in one partition, marks in each, and
// other topics as ever.
func TestSummariesOfAnEndpointMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions = 5
		f := newFakeKafka(t, kfake.SeedTopics(partitions, "stats", "verdicts"))
		cl := f.connect(t, append(ProducerOpts(), SummaryOpts("stats", func(int) {}))...)
		plain := f.connect(t, ProducerOpts()...)
		used := make(map[int32]bool)
		for i := range 40 {
			var first *kgo.Record
			for log := range int32(3) {
				r := SummaryRecord("stats", &schemas.Summary{Version: 1, View: "v", Endpoint: fmt.Sprint("GET /", i), Partition: log, Requests: 1})
				if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = r
				}
				if r.Partition != first.Partition {
					t.Errorf("an endpoint is in the partitions %d and %d", first.Partition, r.Partition)
				}
			}
			used[first.Partition] = true
			verdict := &schemas.Verdict{Subject: fmt.Sprint("192.0.2.", i)}
			ours, theirs := VerdictRecord("verdicts", verdict), VerdictRecord("verdicts", verdict)
			if err := cl.ProduceSync(t.Context(), ours).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := plain.ProduceSync(t.Context(), theirs).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if ours.Partition != theirs.Partition {
				t.Errorf("a verdict of %s is in partition %d, with the client's own way in %d", verdict.Subject, ours.Partition, theirs.Partition)
			}
		}
		if len(used) != partitions {
			t.Errorf("endpoints are in %d partitions of %d", len(used), partitions)
		}
		marks := MarkRecords("stats", &schemas.SummaryMark{Version: 1, Partitions: 3, Closed: 10}, partitions)
		if err := cl.ProduceSync(t.Context(), marks...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for i, r := range marks {
			if r.Partition != int32(i) || r.Key != nil {
				t.Errorf("mark %d has key %q and is in partition %d", i, r.Key, r.Partition)
			}
		}
	})
}
