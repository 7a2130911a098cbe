package detector

import (
	"cmp"
	"slices"
)

// budgets is what rules with max_bans_per_minute have spent. A budget is of a
// partition; what a shard has spent is part of the shard's state. While shards are
// restored from snapshots of different offsets, some have spent already what others
// are about to judge: so each ban keeps its offset, and only earlier ones count. For the
// same reason what a rule has spent outlives the rule.
type budgets map[budgetMinute][]spent

// budgetMinute is a rule's budget for a minute of event time.
type budgetMinute struct {
	rule   ruleName
	minute int64
}

// ruleName is what a rule is the same by in another program.
type ruleName struct{ id, version string }

func (r *rule) name() ruleName { return ruleName{r.ID, r.Version} }

// spent is one ban, in the order of the offsets.
type spent struct {
	offset int64
	shard  int
}

const minute = 60 * second

// spend takes one ban of a shard's subject from a rule's budget, at an offset; false:
// there is none left in this minute of event time.
func (e *Engine) spend(r *rule, s *shard, offset int64) bool {
	if r.MaxBansPerMinute == 0 {
		return true
	}
	at := budgetMinute{r.name(), e.clock.newest / minute}
	list := e.budgets[at]
	if list == nil {
		e.trimBudgets(at.minute)
	}
	used := int64(0)
	for _, b := range list {
		if b.offset < offset {
			used++
		}
	}
	if used >= r.MaxBansPerMinute {
		return false
	}
	e.budgets.add(at, spent{offset: offset, shard: s.index})
	return true
}

func (b budgets) add(m budgetMinute, x spent) {
	at, _ := slices.BinarySearchFunc(b[m], x.offset, func(y spent, o int64) int { return cmp.Compare(y.offset, o) })
	b[m] = slices.Insert(b[m], at, x)
}

// trimBudgets forgets the minutes but the one at hand of which no ban can be judged
// again. In a file none can.
func (e *Engine) trimBudgets(now int64) {
	for at, list := range e.budgets {
		if at.minute != now && (e.opts.File || list[len(list)-1].offset < e.repeatable) {
			delete(e.budgets, at)
		}
	}
}
