package detector

import (
	"math/rand/v2"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// TestBaselinesOfALogThatLags: what a partition has not told yet is not taken for silence,
// and what it tells once the bucket is closed is passed over. One that never told anything,
// or nothing for long, does not keep the others from being judged.
func TestBaselinesOfALogThatLags(t *testing.T) {
	for _, c := range []struct {
		name  string
		stall int // periods
		quiet int // verdicts
	}{{"a quarter of an hour", 3, 0}, {"three quarters", 9, 0}, {"for good", perDay, 1}} {
		t.Run(c.name, func(t *testing.T) {
			p := mustLoad(t, allLearned)
			b := NewBaselines(p, BaselinesOptions{})
			rng := rand.New(rand.NewPCG(1, 2))
			verdicts, late := 0, 0
			var held []func()
			for i := range 3 * perDay {
				start := monday + int64(i)*learnedPeriod
				stalled := i >= 2*perDay && i < 2*perDay+c.stall
				for part := range int32(2) {
					share := 0.95
					if part == 0 {
						share = 0.05
					}
					s := answers{ok: share * (400 + 20*rng.NormFloat64())}.summary(p.Views()[0].ID, "GET /a", start)
					s.Partition = part
					tell := func() {
						if b.Merge(s) == TooLate {
							late++
						}
						b.Mark(&schemas.SummaryMark{Version: schemas.SummaryVersion, Partition: part, Partitions: 3, Closed: start + learnedPeriod,
							Traffic: []schemas.BucketTraffic{{Start: start, Requests: s.Requests}}})
					}
					if stalled && part == 1 {
						held = append(held, tell)
						continue
					}
					if part == 1 {
						for _, h := range held {
							h()
						}
						held = nil
					}
					tell()
				}
				if b.Complete() != 0 {
					t.Fatal("complete, though a partition has told nothing")
				}
				b.Close(b.Newest(), nil)
				for _, v := range b.Take() {
					if v.Phase == schemas.PhaseOpen {
						verdicts++
						t.Log(v.EventTime, v.Details)
					}
				}
			}
			if verdicts != c.quiet || c.stall < perDay && late != c.stall {
				t.Errorf("%d verdicts, want %d; %d summaries came too late", verdicts, c.quiet, late)
			}
		})
	}
}
