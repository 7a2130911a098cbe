package detector

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whom a rule fires about does not depend on the order in which events arrive, as
// long as none arrives later than lateness allows.
func TestSubjectsDoNotDependOnArrivalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t, 0, rapid.SampledFrom([]int{8, 40, 200}).Draw(t, "events"))
		first, last := events[0].time, events[0].time
		for _, ev := range events {
			first, last = min(first, ev.time), max(last, ev.time)
		}
		text := fmt.Sprintf("version: 1\nlateness: %dus\nrules:\n", last-first)
		for i, r := range drawRules(t) {
			if r.kind == "ratio" || r.kind == "match" || r.kind == "walk" {
				r.kind = "usage" // those are judged in the order of arrival
			}
			r.id, r.ban, r.reset = fmt.Sprintf("r%d", i), false, false
			text += r.yaml()
		}
		p := mustLoad(t, text)
		if shuffled := firedAbout(p, rapid.Permutation(events).Draw(t, "order")); !slices.Equal(firedAbout(p, events), shuffled) {
			t.Fatalf("in order %v, shuffled %v\n%s", firedAbout(p, events), shuffled, text)
		}
	})
}

// firedAbout gives the pairs of rule and subject that the events lead to.
func firedAbout(p *Program, events []oracleEvent) []string {
	e := NewEngine(p, Options{Topic: "t", File: true, Shards: 1})
	var fired []string
	for i, ev := range events {
		e.Observe(ev.event(), Record{Offset: int64(i)})
		verdicts, _ := e.Take()
		for _, v := range verdicts {
			fired = append(fired, v.RuleID+" "+v.Subject)
		}
	}
	slices.Sort(fired)
	return slices.Compact(fired)
}
