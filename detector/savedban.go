package detector

import (
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// savedBan is an enforcement as a snapshot has it.
type savedBan struct {
	Key         key               `json:"key"`
	Scope       schemas.Scope     `json:"scope"`
	Name        string            `json:"name"`
	Banned      [][2]int64        `json:"banned,omitempty"`
	Ban         *savedStanding    `json:"ban,omitempty"`
	Throttle    *savedStanding    `json:"throttle,omitempty"`
	Shown       *schemas.Ban      `json:"shown,omitempty"`
	Queued      int64             `json:"queued"`
	Bans        int               `json:"bans,omitempty"`
	LastEnd     int64             `json:"last_end,omitempty"`
	Generations []savedGeneration `json:"generations,omitempty"`
	Pardoned    bool              `json:"pardoned,omitempty"`
	KeepUntil   int64             `json:"keep_until"`
}

// savedRule names a rule, with what a ban shows of it once it is gone.
type savedRule struct {
	ID          string `json:"id"`
	Version     string `json:"version"`
	Type        Type   `json:"type"`
	Message     string `json:"message,omitempty"`
	ThrottleFor int64  `json:"throttle_for,omitempty"`
}

type savedStanding struct {
	Since       int64       `json:"since"`
	Until       int64       `json:"until"`
	Rules       []savedRule `json:"rules"`
	Lead        int         `json:"lead"` // of Rules
	Reason      string      `json:"reason"`
	Unpublished bool        `json:"unpublished,omitempty"`
}

type savedGeneration struct {
	Rule savedRule `json:"rule"`
	N    uint32    `json:"n"`
}

type savedSpent struct {
	Rule    string `json:"rule"`
	Version string `json:"version"`
	Offset  int64  `json:"offset"`
	Minute  int64  `json:"minute"`
}

// clone copies an entry with all that may change in place.
func (s *enforcement) clone() enforcement {
	c := *s
	c.banned = slices.Clone(s.banned)
	c.ban.rules, c.throttle.rules = slices.Clone(s.ban.rules), slices.Clone(s.throttle.rules)
	if s.generations != nil {
		c.generations = make(map[*rule]uint32, len(s.generations))
		for r, n := range s.generations {
			c.generations[r] = n
		}
	}
	return c
}

func (s *enforcement) save() savedBan {
	out := savedBan{
		Key: s.key, Scope: s.scope, Name: s.name, Ban: s.ban.save(), Throttle: s.throttle.save(), Shown: s.shown, Queued: s.queued,
		Bans: s.bans, LastEnd: s.lastEnd, Pardoned: s.pardoned, KeepUntil: s.keepUntil,
	}
	for _, i := range s.banned {
		out.Banned = append(out.Banned, [2]int64{i.from, i.until})
	}
	for r, n := range s.generations {
		out.Generations = append(out.Generations, savedGeneration{r.save(), n})
	}
	return out
}

func (r *rule) save() savedRule {
	return savedRule{ID: r.ID, Version: r.Version, Type: r.Type, Message: r.Message, ThrottleFor: r.ThrottleFor}
}

func (s *standing) save() *savedStanding {
	if len(s.rules) == 0 {
		return nil
	}
	out := &savedStanding{Since: s.since, Until: s.until, Lead: slices.Index(s.rules, s.lead), Reason: s.reason, Unpublished: s.unpublished}
	for _, r := range s.rules {
		out.Rules = append(out.Rules, r.save())
	}
	return out
}

// saved gives the rule that a snapshot names: that of the program or, where it has none
// such, one that nothing counts for any more.
func (p *Program) saved(r savedRule) *rule {
	gone := &rule{Rule: &Rule{ID: r.ID, Version: r.Version, Type: r.Type, Message: r.Message, ThrottleFor: r.ThrottleFor}}
	if known := p.same(gone); known != nil {
		return known
	}
	return gone
}

func (p *Program) standing(s *savedStanding) standing {
	if s == nil || len(s.Rules) == 0 {
		return standing{}
	}
	out := standing{since: s.Since, until: s.Until, reason: s.Reason, unpublished: s.Unpublished}
	for _, r := range s.Rules {
		out.rules = append(out.rules, p.saved(r))
	}
	out.lead = out.rules[max(0, min(s.Lead, len(out.rules)-1))]
	return out
}

// restoreBan puts an entry back.
func (e *Engine) restoreBan(b *bans, s *savedBan) {
	x := &enforcement{
		key: s.Key, scope: s.Scope, name: s.Name, ban: e.program.standing(s.Ban), throttle: e.program.standing(s.Throttle), shown: s.Shown,
		queued: s.Queued, bans: s.Bans, lastEnd: s.LastEnd, pardoned: s.Pardoned, keepUntil: s.KeepUntil,
	}
	for _, i := range s.Banned {
		x.banned = append(x.banned, interval{i[0], i[1]})
	}
	for _, g := range s.Generations {
		if x.generations == nil {
			x.generations = make(map[*rule]uint32)
		}
		x.generations[e.program.saved(g.Rule)] = g.N
	}
	e.keep(b, x)
	if x.queued != 0 {
		e.await(b, x)
	}
}

// savedSpent gives what a shard has spent of budgets.
func (e *Engine) savedSpent(s *shard) []savedSpent {
	var out []savedSpent
	for at, list := range e.budgets {
		for _, b := range list {
			if b.shard == s.index {
				out = append(out, savedSpent{at.rule.id, at.rule.version, b.offset, at.minute})
			}
		}
	}
	return out
}

func (e *Engine) restoreSpent(s *shard, list []savedSpent) {
	for _, b := range list {
		e.budgets.add(budgetMinute{ruleName{b.Rule, b.Version}, b.Minute}, spent{offset: b.Offset, shard: s.index})
	}
}
