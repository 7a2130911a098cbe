package detector

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

// A trial is a log with what happened beside it: changes of rules, of bounds and by
// hand, each in force from an offset on.
type trial struct {
	options  Options
	programs []*Program
	events   []*schemas.Event
	changes  map[int][]trialChange // by the offset before which they take effect
}

type trialChange struct {
	adopt    *Program
	control  *schemas.Control
	maxBytes int64
}

func (c trialChange) apply(e *Engine, next int64) {
	switch {
	case c.adopt != nil:
		e.Adopt(next, c.adopt)
	case c.control != nil:
		e.Control(next, *c.control)
	default:
		e.Bound(c.maxBytes, e.opts.MaxEndpoints)
	}
}

// outputs is what an offset led to.
type outputs struct {
	outcome  Outcome
	verdicts []schemas.Verdict
	bans     []schemas.BanChange
}

func observe(e *Engine, ev *schemas.Event, offset int) outputs {
	outcome, _ := e.Observe(ev, Record{Offset: int64(offset), Time: ev.Time})
	verdicts, bans := e.Take()
	return outputs{outcome, append([]schemas.Verdict(nil), verdicts...), append([]schemas.BanChange(nil), bans...)}
}

// undisturbed judges the whole log with one engine.
func (tr *trial) undisturbed() []outputs {
	e := NewEngine(tr.programs[0], tr.options)
	out := make([]outputs, len(tr.events))
	for i, ev := range tr.events {
		for _, c := range tr.changes[i] {
			c.apply(e, int64(i))
		}
		e.wantShardsSound()
		out[i] = observe(e, ev, i)
	}
	return out
}

// wantShardsSound panics where what a shard counts of itself is wrong.
func (e *Engine) wantShardsSound() {
	for i := range e.shards {
		s := &e.shards[i]
		words, names := int64(0), 0
		for slot := range s.slots {
			r := s.ref(slot)
			if r == 0 || s.waiting != nil {
				continue
			}
			rec := record(e.arena.at(r))
			words += int64(classWords(rec.class()))
			e.eachSet(rec, func(_ int, set setRef) { words += int64(classWords(smallSet(e.arena.at(set.ref())).class())) })
			if rec.bundle() == nameBundle {
				names++
			}
		}
		if s.waiting == nil && (words != s.words || names != s.names) {
			panic(fmt.Sprintf("shard %d holds %d words and %d names, it counts %d and %d", i, words, names, s.words, s.names))
		}
	}
}

// restored makes an engine of copies and has it judge the log up to an offset.
func (tr *trial) restored(t *rapid.T, copies map[int][2][]byte, to int) *Engine {
	from := int64(math.MaxInt64)
	for shard := range tr.options.Shards {
		next := int64(0)
		for _, b := range copies[shard] {
			if b != nil {
				h, err := ReadSnapshotHeader(b)
				if err != nil {
					t.Fatal(err)
				}
				next = h.Next
			}
		}
		from = min(from, next)
	}
	program, options := tr.programs[0], tr.options
	for i := range int(from) {
		for _, c := range tr.changes[i] {
			if c.adopt != nil {
				program = c.adopt
			}
		}
	}
	e := NewEngine(program, options)
	for shard, c := range copies {
		if err := e.Restore(c[0], c[1]); err != nil {
			t.Fatalf("shard %d: %v", shard, err)
		}
	}
	for i := range int(from) {
		for _, c := range tr.changes[i] {
			if c.adopt == nil {
				c.apply(e, int64(i))
			}
		}
	}
	e.Begin(from)
	for i := int(from); i < to; i++ {
		for _, c := range tr.changes[i] {
			c.apply(e, int64(i))
		}
		observe(e, tr.events[i], i)
	}
	return e
}

func drawTrial(t *rapid.T) *trial {
	lateness := rapid.SampledFrom([]int64{0, 1, 10, 80}).Draw(t, "lateness")
	load := func(rules []oracleRule) *Program {
		text := fmt.Sprintf("version: 1\nlateness: %dus\nescalation: {factor: 2, max: 200us, decay: 300us}\nrules:\n", lateness)
		for i, r := range rules {
			line := r.yaml()
			if r.ban && i%2 == 0 {
				line = strings.Replace(line, "}\n", ", max_bans_per_minute: 2}\n", 1)
			}
			text += line
		}
		return mustLoad(t, text)
	}
	rules := drawRules(t)
	tr := &trial{
		options:  Options{Topic: "t", Shards: rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "shards"), Seed: [2]uint64{1, 2}},
		programs: []*Program{load(rules)}, changes: map[int][]trialChange{},
	}
	if rapid.Bool().Draw(t, "bounded") {
		tr.options.MaxBytes = rapid.Int64Range(300, 3000).Draw(t, "bytes")
	}
	if rapid.Bool().Draw(t, "few endpoints") {
		tr.options.MaxEndpoints = rapid.IntRange(1, 3).Draw(t, "endpoints")
	}
	n := rapid.SampledFrom([]int{5, 20, 60, 300}).Draw(t, "events")
	crowd := rapid.SampledFrom([]int{1, 3, 8, 60}).Draw(t, "crowd")
	seldom := rapid.SampledFrom([]int{6, 12, 40}).Draw(t, "seldom")
	for i, ev := range drawEvents(t, lateness, n) {
		x := ev.event()
		if crowd > 1 {
			x.ClientIP = netip.AddrFrom4([4]byte{198, 51, 100, byte(rapid.IntRange(1, crowd).Draw(t, "client"))})
		}
		tr.events = append(tr.events, x)
		switch rapid.IntRange(0, seldom).Draw(t, "beside") {
		case 3: // back to what was there before
			p := rapid.SampledFrom(tr.programs).Draw(t, "again")
			tr.changes[i] = append(tr.changes[i], trialChange{adopt: p})
		case 0:
			others := slices.Clone(drawRules(t))
			for j := range others { // some stay as they were, some change, some are new
				if j < len(rules) && rapid.Bool().Draw(t, "same") {
					others[j] = rules[j]
				}
			}
			p := load(others)
			tr.programs, rules = append(tr.programs, p), others
			tr.changes[i] = append(tr.changes[i], trialChange{adopt: p})
		case 1:
			value := x.ClientIP.String()
			scope := schemas.ScopeIP
			if rapid.Bool().Draw(t, "network") {
				scope, value = schemas.ScopeRange, netip.PrefixFrom(x.ClientIP, 29).Masked().String()
			}
			tr.changes[i] = append(tr.changes[i], trialChange{control: &schemas.Control{
				Scope: scope, Value: value, At: schemas.Micros(x.Time), For: schemas.Duration(50_000),
				Op: rapid.SampledFrom([]schemas.Op{schemas.OpBan, schemas.OpUnban, schemas.OpExempt, schemas.OpUnexempt}).Draw(t, "op"),
			}})
		case 2:
			if tr.options.MaxBytes > 0 {
				tr.changes[i] = append(tr.changes[i], trialChange{maxBytes: rapid.Int64Range(300, 3000).Draw(t, "bytes")})
			}
		}
	}
	return tr
}

// TestRestoredEnginesDecideTheSame copies shards at random moments, crashes at others,
// and wants what follows to be what an undisturbed engine has to say.
func TestRestoredEnginesDecideTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := drawTrial(t)
		want := tr.undisturbed()
		copier := copier{made: map[int][2][]byte{}, making: map[int]*ShardCopy{}}
		e := NewEngine(tr.programs[0], tr.options)
		restarts := 0
		for i, ev := range tr.events {
			for _, change := range tr.changes[i] {
				if rapid.IntRange(0, 3).Draw(t, "copy before a change") == 0 {
					copier.step(t, e, i)
				}
				change.apply(e, int64(i))
			}
			switch rapid.IntRange(0, 12).Draw(t, "event") {
			case 0, 1, 2, 4, 5:
				copier.step(t, e, i)
			case 3:
				e = tr.restored(t, copier.made, i)
				clear(copier.making)
				for _, change := range tr.changes[i] {
					change.apply(e, int64(i))
				}
				restarts++
			}
			got := observe(e, ev, i)
			if d := cmp.Diff(want[i], got, cmp.AllowUnexported(outputs{})); d != "" {
				t.Fatalf("event %d after %d restarts (-undisturbed +restored):\n%s", i, restarts, d)
			}
			e.wantShardsSound()
		}
	})
}

// copier makes copies in steps, of several shards at a time.
type copier struct {
	made   map[int][2][]byte // of each shard the newest whole copy, and the newest of changes to it
	making map[int]*ShardCopy
}

func (k *copier) step(t *rapid.T, e *Engine, next int) {
	shard := rapid.IntRange(0, e.Shards()-1).Draw(t, "shard")
	c := k.making[shard]
	if c == nil || rapid.IntRange(0, 9).Draw(t, "begin anew") == 0 {
		c = &ShardCopy{}
		k.making[shard] = c
		e.BeginCopy(shard, int64(next), rapid.IntRange(0, 2).Draw(t, "whole") == 0, c)
	}
	if !e.GoOnCopying(shard, rapid.SampledFrom([]int{1, 3, 10, 1000}).Draw(t, "slots")) {
		return
	}
	delete(k.making, shard)
	if !c.Made() {
		return
	}
	h, text := c.Header(), c.Append(nil)
	if h.Whole() {
		k.made[shard] = [2][]byte{text, nil}
	} else {
		k.made[shard] = [2][]byte{k.made[shard][0], text}
	}
}
