package detector

import (
	"cmp"
	"slices"
)

// budgets is what rules with max_bans_per_minute have spent. A budget is of a
// partition; what a shard has spent is part of the shard's state. While shards are
// restored from snapshots of different offsets, some have spent already what others
// are about to judge: so each ban keeps its offset, and only earlier ones count.
type budgets map[ruleName][]spent

// ruleName is what a rule is the same by in another program.
type ruleName struct{ id, version string }

func (r *rule) name() ruleName { return ruleName{r.ID, r.Version} }

// spent is one ban, in the order of the offsets.
type spent struct {
	offset int64
	minute int64 // of event time
	shard  int
}

const minute = 60 * second

// spend takes one ban of a shard's subject from a rule's budget, at an offset; false:
// there is none left in this minute of event time.
func (e *Engine) spend(r *rule, s *shard, offset int64) bool {
	if r.MaxBansPerMinute == 0 {
		return true
	}
	now := e.clock.newest / minute
	used := int64(0)
	for _, b := range e.budgets[r.name()] {
		if b.minute == now && b.offset < offset {
			used++
		}
	}
	if used < r.MaxBansPerMinute {
		e.trimBudgets()
		e.budgets.add(r.name(), spent{offset: offset, minute: now, shard: s.index})
	}
	return used < r.MaxBansPerMinute
}

func (b budgets) add(r ruleName, x spent) {
	at, _ := slices.BinarySearchFunc(b[r], x.offset, func(y spent, o int64) int { return cmp.Compare(y.offset, o) })
	b[r] = slices.Insert(b[r], at, x)
}

// trimBudgets forgets bans of past minutes that are never judged again.
func (e *Engine) trimBudgets() {
	now := e.clock.newest / minute
	for r, list := range e.budgets {
		list = slices.DeleteFunc(list, func(b spent) bool { return b.minute != now && b.offset < e.repeatable })
		if e.budgets[r] = list; len(list) == 0 {
			delete(e.budgets, r)
		}
	}
}
