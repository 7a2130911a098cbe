package detector

import (
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// Foresight is a guess: an event that comes instead of the expected one, or an
// expected one that never comes, is judged as if nobody had looked ahead.
func TestForesightMayBeWrong(t *testing.T) {
	p := mustLoad(t, `version: 1
rules:
  - {id: volume, type: usage, threshold: 2, window: 1h}
  - {id: values, type: distinct, field: path, threshold: 2, window: 1h}
  - {id: apart, type: usage, threshold: 2, window: 1h, group_by: [subject, endpoint]}
`)
	fired := func(foresee func(e *Engine, events []*schemas.Event, i int)) (ids []string) {
		e := NewEngine(p, Options{Topic: "t", File: true, Shards: 1})
		events := make([]*schemas.Event, 60)
		for i := range events {
			events[i] = oracleEvent{time: int64(1e15) + int64(i), subject: "198.51.100.7", path: "/" + string(rune('a'+i%7)), status: 200}.event()
		}
		for i, ev := range events {
			foresee(e, events, i)
			e.Observe(ev, Record{Offset: int64(i)})
			verdicts, _ := e.Take()
			for _, v := range verdicts {
				ids = append(ids, v.VerdictID)
			}
		}
		return ids
	}
	want := fired(func(*Engine, []*schemas.Event, int) {})
	if len(want) < 3 {
		t.Fatalf("only %d verdicts", len(want))
	}
	for name, foresee := range map[string]func(e *Engine, events []*schemas.Event, i int){
		"none":     func(e *Engine, _ []*schemas.Event, _ int) { e.Foresee(nil) },
		"of past":  func(e *Engine, events []*schemas.Event, _ int) { e.Foresee(events) },
		"with gap": func(e *Engine, events []*schemas.Event, i int) { e.Foresee(events[min(i+1, len(events)):]) },
		"all": func(e *Engine, events []*schemas.Event, i int) {
			if i%Ahead == 0 {
				e.Foresee(events[i:])
			}
		},
	} {
		got := fired(foresee)
		if len(got) != len(want) {
			t.Errorf("%s: %d verdicts, want %d", name, len(got), len(want))
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: verdict %d differs", name, i)
			}
		}
	}
}

// What the table keeps of a hash may lead to a record of other rules, whose cells mean
// something else.
func TestForesightMayFindTheRecordOfOtherRules(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
rules:
  - {id: values, type: distinct, field: path, threshold: 2, window: 1h}
  - {id: seen, type: match, when: 'status >= 100', window: 1h, group_by: [subject, endpoint]}
`), Options{Topic: "t", File: true, Shards: 1})
	ev := oracleEvent{time: 1e15, subject: "198.51.100.7", path: "/x", status: 200}.event()
	e.Observe(ev, Record{})
	var g glimpse
	e.look(ev, &g)
	others := 0
	for _, slot := range e.shards[0].slots {
		if r := ref(uint32(slot)); r != 0 && record(e.arena.at(r)).bundle() != g.plan.steps[0].bundle.index {
			e.prefetchRecord(&g, &g.plan.steps[0], record(e.arena.at(r)))
			others++
		}
	}
	if others == 0 {
		t.Error("no record of the other rule")
	}
}
