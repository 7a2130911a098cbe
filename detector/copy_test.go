package detector

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// contents gives the records of a shard in words, by key and bundle, with the runs of
// their sets.
func (e *Engine) contents(shard int) map[string]string {
	out := make(map[string]string)
	s := &e.shards[shard]
	for slot := range s.slots {
		r := s.ref(slot)
		if r == 0 {
			continue
		}
		rec := record(e.arena.at(r))
		words := slices.Clone(rec[:rec.logAt()+rec.n()])
		words[recPresent] &^= 0xff << 56
		var sets []string
		e.eachSet(rec, func(at int, set setRef) {
			words[at] &^= 0xffffffff
			runs := e.arena.runs(nil, set)
			sets = append(sets, fmt.Sprint(smallSet(e.arena.at(set.ref())).class(), runs))
		})
		out[fmt.Sprint(rec.key(), rec.bundle())] = fmt.Sprint(words, sets)
	}
	return out
}

// TestCopiesAreOfTheirBeginning makes copies in small steps while records come, grow,
// are evicted and change, and restores them: what they hold is the shard as it stood
// when the copy began.
func TestCopiesAreOfTheirBeginning(t *testing.T) {
	const rules = `version: 1
lateness: 10us
rules:
  - {id: calls, type: usage, threshold: 5, window: 100us}
  - {id: paths, type: distinct, field: path, threshold: 30, window: 200us}
  - {id: each, type: usage, threshold: 3, window: 50us, group_by: [subject, endpoint]}
  - {id: walk, type: walk, threshold: 3, window: 50us}
`
	program := mustLoad(t, rules)
	rapid.Check(t, func(t *rapid.T) {
		o := Options{Topic: "t", Shards: 1, Seed: [2]uint64{1, 2}, MaxEndpoints: 3}
		if rapid.Bool().Draw(t, "bounded") {
			o.MaxBytes = rapid.Int64Range(2000, 20_000).Draw(t, "bytes")
		}
		e := NewEngine(program, o)
		clients := rapid.SampledFrom([]int{5, 60, 1000}).Draw(t, "clients")
		step := rapid.SampledFrom([]int{1, 2, 5, 40}).Draw(t, "slots")
		rnd := rapid.Uint64().Draw(t, "seed")
		next := func(n int) int { // splitmix64: rapid's own draws are slow
			rnd += 0x9e3779b97f4a7c15
			z := (rnd ^ rnd>>30) * 0xbf58476d1ce4e5b9
			return int((z ^ z>>27) >> 33 % uint64(n))
		}
		var c ShardCopy
		var whole []byte
		var want map[string]string
		making, made := false, 0
		for i := range rapid.SampledFrom([]int{200, 3000}).Draw(t, "events") {
			if !making && next(20) == 0 {
				want = e.contents(0)
				e.BeginCopy(0, int64(i), next(3) == 0, &c)
				making = true
			}
			if making && e.GoOnCopying(0, step) {
				if making = false; !c.Made() {
					t.Fatal("the copy was given up")
				}
				made++
				text, changes := c.Append(nil), []byte(nil)
				if h := c.Header(); h.Whole() {
					whole = text
				} else {
					changes = text
				}
				back := NewEngine(program, o)
				if err := back.Restore(whole, changes); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(want, back.contents(0)); d != "" {
					t.Fatalf("event %d, whole %v (-at its beginning +restored):\n%s", i, changes == nil, d)
				}
				back.wantShardsSound()
			}
			at := int64(1_000_000) + int64(i/2)
			observe(e, hit(client(next(clients)), at, fmt.Sprintf("/p%c/%d", 'a'+next(5), next(9))), i)
		}
	})
}
