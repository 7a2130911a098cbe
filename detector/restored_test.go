package detector

import (
	"slices"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// reborn gives an engine with another program that goes on where e stands.
func reborn(t *testing.T, e *Engine, p *Program, next int) *Engine {
	t.Helper()
	out := NewEngine(p, Options{Topic: "t", Shards: e.Shards(), Seed: e.opts.Seed})
	var c ShardCopy
	for shard := range e.Shards() {
		e.Copy(shard, int64(next), true, &c)
		if err := out.Restore(c.Append(nil), nil); err != nil {
			t.Fatal(err)
		}
	}
	out.Begin(int64(next))
	return out
}

// hitsFrom judges so many requests of a client, a second apart, and gives the offsets of
// those with a verdict.
func hitsFrom(e *Engine, from, n int) []int {
	var fired []int
	for i := from; i < from+n; i++ {
		if out := observe(e, hit(client(1), origin+int64(i)*second, "/a"), i); len(out.verdicts) > 0 {
			fired = append(fired, i)
		}
	}
	return fired
}

func wantFired(t *testing.T, what string, got []int, want ...int) {
	t.Helper()
	if len(got) != len(want) || len(want) > 0 && got[0] != want[0] {
		t.Errorf("%s: verdicts at %v, want %v", what, got, want)
	}
}

// TestRestoredUnderOtherRules: rules that both programs have go on with their counts,
// wherever the two have them, also where no Adopt leads from one to the other.
func TestRestoredUnderOtherRules(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
rules:
  - {id: gone, type: distinct, field: path, threshold: 9, window: 1h}
  - {id: stays, type: usage, threshold: 5, window: 1h}
  - {id: values, type: distinct, field: path, threshold: 3, window: 1h}
`), Options{Topic: "t", Shards: 4, Seed: [2]uint64{1, 2}})
	wantFired(t, "before", hitsFrom(e, 0, 4))
	other := mustLoad(t, `version: 1
rules:
  - {id: fresh, type: usage, threshold: 3, window: 30m}
  - {id: values, type: distinct, field: path, threshold: 3, window: 1h}
  - {id: stays, type: usage, threshold: 5, window: 1h}
`)
	e = reborn(t, e, other, 4)
	wantFired(t, "the sixth of the rule that stays", hitsFrom(e, 4, 2), 5)
	wantFired(t, "the fourth of the rule that is new", hitsFrom(e, 6, 2), 7)
}

func TestRestoredPardon(t *testing.T) {
	p := mustLoad(t, "version: 1\nrules: [{id: a, type: usage, threshold: 2, window: 1h, action: ban, ban_for: 5s}]")
	e := NewEngine(p, Options{Topic: "t", Shards: 1, Seed: [2]uint64{1, 2}})
	wantFired(t, "an offence", hitsFrom(e, 0, 3), 2)
	e.Control(3, schemas.Control{Scope: schemas.ScopeIP, Value: client(1).String(), Op: schemas.OpUnban, At: schemas.Micros(origin + 3*second)})
	e = reborn(t, e, p, 3)
	wantFired(t, "pardoned", hitsFrom(e, 3, 20))
}

func TestRestoredReset(t *testing.T) {
	p := mustLoad(t, `version: 1
rules: [{id: a, type: usage, threshold: 2, window: 1h, action: ban, ban_for: 1s, reset_on_ban: true, group_by: [subject, endpoint]}]`)
	e := NewEngine(p, Options{Topic: "t", Shards: 1, Seed: [2]uint64{1, 2}})
	// The third is banned, the fourth under the ban; two are counted after it.
	wantFired(t, "an offence", hitsFrom(e, 0, 6), 2)
	e = reborn(t, e, p, 6)
	wantFired(t, "the third after the reset", hitsFrom(e, 6, 1), 6)
}

// TestRestoredAheadOfRulesThatComeBack: rules end and are adopted again. A shard whose
// copy was made after that keeps what they have counted since, while the engine goes
// through it again for the sake of another shard.
func TestRestoredAheadOfRulesThatComeBack(t *testing.T) {
	both := mustLoad(t, `version: 1
rules: [{id: a, type: usage, threshold: 9, window: 1h}, {id: b, type: usage, threshold: 3, window: 1h}]`)
	one := mustLoad(t, "version: 1\nrules: [{id: a, type: usage, threshold: 9, window: 1h}]")
	for _, c := range []struct{ end, back, copied int }{
		{3, 5, 7}, // on the way to what the copy contains
		{3, 3, 3}, // where the copy was made before
	} {
		options := Options{Topic: "t", Shards: 2, Seed: [2]uint64{1, 2}}
		e, again := NewEngine(both, options), NewEngine(both, options)
		copied := -1
		judge := func(e *Engine, from int) (fired []int) {
			for i := from; i < 12; i++ {
				if i == c.copied && copied < 0 {
					var own ShardCopy
					copied = e.shardOf(addressKey(client(1))).index
					e.Copy(copied, int64(i), true, &own)
					if err := again.Restore(own.Append(nil), nil); err != nil {
						t.Fatal(err)
					}
				}
				if i == c.end {
					e.Adopt(int64(i), one)
				}
				if i == c.back {
					e.Adopt(int64(i), both)
				}
				fired = append(fired, hitsFrom(e, i, 1)...)
			}
			return fired
		}
		want := judge(e, 0)
		again.Begin(0)
		got := judge(again, 0)
		want = slices.DeleteFunc(want, func(i int) bool { return i < c.copied })
		if len(want) != 2 || !slices.Equal(got, want) {
			t.Errorf("%+v: verdicts at %v, undisturbed at %v", c, got, want)
		}
	}
}
