package detector

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/apiwarden/apiwarden/schemas"
)

// learnedSomething gives baselines that have some of everything that is encoded.
func learnedSomething(t testing.TB) *Baselines {
	p := mustLoad(t, highRules)
	b := NewBaselines(p, BaselinesOptions{Shards: 2})
	all := drawSummaries(p.Views()[0].ID, 3)
	for _, x := range all {
		x.tell(b)
	}
	open := answers{ok: 30}.summary(p.Views()[0].ID, "GET /a", monday+2*86400)
	askedFor(rand.New(rand.NewPCG(1, 1)), open, 30)
	b.Merge(open)
	return b
}

func TestRestoreShard(t *testing.T) {
	b := learnedSomething(t)
	p := mustLoad(t, highRules)
	back := NewBaselines(p, BaselinesOptions{})
	for shard := range b.Shards() {
		if err := back.RestoreShard(b.AppendShard(nil, shard)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(b.Learned(), back.Learned()); diff != "" {
		t.Errorf("learned (-saved +restored):\n%s", diff)
	}
	if diff := cmp.Diff(b.Stats(), back.Stats()); diff != "" {
		t.Errorf("stats (-saved +restored):\n%s", diff)
	}
	if b.Complete() != back.Complete() || b.Newest() != back.Newest() || back.Shards() != 2 {
		t.Errorf("complete %d, newest %d, %d shards", back.Complete(), back.Newest(), back.Shards())
	}
	again := answers{ok: 30}.summary(p.Views()[0].ID, "GET /a", monday+2*86400)
	if got := back.Merge(again); got != Repeated {
		t.Errorf("what is in an open bucket: %d", got)
	}
	again.Start = monday
	if got := back.Merge(again); got != TooLate {
		t.Errorf("what is in a closed bucket: %d", got)
	}
	if again.View = "other"; back.Merge(again) != NoView {
		t.Error("merged what no rule looks at")
	}
}

// TestRestoreShardRefuses: what is no piece, or does not fit to others, changes nothing.
func TestRestoreShardRefuses(t *testing.T) {
	b := learnedSomething(t)
	piece := b.AppendShard(nil, 1)
	other := NewBaselines(mustLoad(t, highRules), BaselinesOptions{Shards: 3}).AppendShard(nil, 0)
	before := b.Learned()
	for name, data := range map[string][]byte{
		"nothing": nil, "another version": append([]byte{learnedVersion + 1}, piece[1:]...), "half": piece[:len(piece)/2],
		"too much": append(slices.Clone(piece), 0), "of other shards": other, "no such shard": append([]byte{learnedVersion, 8, 4}, piece[3:]...),
	} {
		if err := b.RestoreShard(data); err == nil {
			t.Errorf("%s was restored", name)
		}
	}
	if diff := cmp.Diff(before, b.Learned(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("learned changed:\n%s", diff)
	}
}

// TestAdoptKeepsWhatIsLearned: by view; rules of a view may come and go.
func TestAdoptKeepsWhatIsLearned(t *testing.T) {
	b := learnedSomething(t)
	before := b.Stats()
	b.Adopt(mustLoad(t, "version: 1\nrules:\n  - {id: other, type: rate}\n"))
	if got := b.Stats(); got.Endpoints != before.Endpoints || got.Open != 0 {
		t.Errorf("of the same view: %+v, before %+v", got, before)
	}
	b.Adopt(mustLoad(t, "version: 1\nrules:\n  - {id: other, type: rate, endpoint: GET /a}\n"))
	if got := b.Stats(); got != (BaselinesStats{}) {
		t.Errorf("of another view: %+v", got)
	}
}

// FuzzRestoreShard restores whatever bytes, and what it takes it must be able to work with.
func FuzzRestoreShard(f *testing.F) {
	b := learnedSomething(f)
	for shard := range b.Shards() {
		f.Add(b.AppendShard(nil, shard))
	}
	p := mustLoad(f, highRules)
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b := NewBaselines(p, BaselinesOptions{})
		err := b.RestoreShard(data)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20+100*uint64(len(data)) {
			t.Fatalf("%d bytes were allocated for %d", got, len(data))
		}
		if err != nil {
			return
		}
		b.Merge(answers{ok: 30, failed: 20}.summary(p.Views()[0].ID, "GET /a", monday))
		b.Mark(&schemas.SummaryMark{Version: 1, Partitions: 1, Closed: monday + 600, Traffic: []schemas.BucketTraffic{{Start: monday, Requests: 50}}})
		b.Close(monday+600, nil)
		b.Close(1<<40, nil)
		b.Take()
		b.Learned()
	})
}
