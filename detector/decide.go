package detector

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// firing is a rule that fires on the event at hand.
type firing struct {
	finding
	rule  *rule
	who   subject
	place ref // the record in which it counted
}

// decide makes the verdicts of the rules that fired on an event, in file order, and
// what follows from them: the subject is banned or throttled from now on, with at
// most one change of the ban topic a subject.
func (e *Engine) decide(o *observed) {
	slices.SortFunc(e.fired, func(a, b firing) int { return cmp.Compare(a.rule.index, b.rule.index) })
	for i := range e.fired {
		e.verdicts = append(e.verdicts, e.verdict(&e.fired[i], o))
	}
	verdicts := e.verdicts[len(e.verdicts)-len(e.fired):]
	for i := range e.fired {
		if who := e.fired[i].who; !slices.ContainsFunc(e.fired[:i], func(f firing) bool { return f.who == who }) {
			e.enforce(who, verdicts, o)
		}
	}
}

// taken says what becomes of a rule's action against a subject.
func (e *Engine) taken(r *rule, who subject, o *observed) string {
	switch {
	case r.Passive:
		return schemas.TakenLoggedOnly
	case r.Action != schemas.ActionBan && r.Action != schemas.ActionThrottle:
		return string(r.Action)
	case !e.bannable(r, who, o.client):
		return schemas.TakenTracked
	case r.Action == schemas.ActionBan && !e.spend(r, e.shardOf(who.key), o.record.Offset):
		return schemas.TakenAlert
	}
	return string(r.Action)
}

var (
	loopback4 = netip.MustParsePrefix("127.0.0.0/8")
	loopback6 = netip.MustParsePrefix("::1/128")
)

// bannable says whether a rule may ban or throttle a subject: not loopback, not a
// trusted proxy, nothing that overlaps an exempt range.
func (e *Engine) bannable(r *rule, who subject, client netip.Addr) bool {
	if who.field != nil {
		return true
	}
	id := e.program.Identity()
	network := id.Network(client)
	if network.Overlaps(loopback4) || network.Overlaps(loopback6) {
		return false
	}
	for _, ranges := range [][]netip.Prefix{id.TrustedProxies, e.program.set.Settings.Exempt, r.Exempt} {
		if slices.ContainsFunc(ranges, network.Overlaps) {
			return false
		}
	}
	return true
}

// enforce puts in force what the verdicts ask for one of the event's subjects. A
// ban over its budget holds for counting all the same, and is not published.
func (e *Engine) enforce(who subject, verdicts []schemas.Verdict, o *observed) {
	now, wm := e.clock.newest, e.clock.watermark()
	var s *enforcement
	nth, changed := 0, false
	for i, f := range e.fired {
		v := &verdicts[i]
		bans := f.rule.Action == schemas.ActionBan && (v.ActionTaken == string(schemas.ActionBan) || v.ActionTaken == schemas.TakenAlert)
		throttles := v.ActionTaken == string(schemas.ActionThrottle)
		if f.who != who || !bans && !throttles {
			continue
		}
		if s == nil {
			s = e.enforcementOf(who.key)
			s.scope, s.name = v.Scope, v.Subject
		}
		until := int64(*v.ExpiresAt)
		s.keepUntil = max(s.keepUntil, until+e.clock.lateness)
		if throttles {
			s.throttle.extend(f.rule, o.time, until, now, v.Details, false)
			changed = true
			continue
		}
		if _, n := s.banFor(f.rule, o.time, e.program.set.Settings.Escalation); nth == 0 {
			nth = n
		}
		s.pardoned = false
		unpublished := v.ActionTaken == schemas.TakenAlert
		s.ban.extend(f.rule, o.time, until, now, v.Details, unpublished)
		s.under(o.time, until, wm)
		e.afterBan(&f, s, now)
		changed = changed || !unpublished
	}
	if s == nil {
		return
	}
	e.escalate(s, nth)
	e.queue(&e.shardOf(who.key).bans, s, now-1)
	if changed {
		e.show(s)
	}
}

// afterBan arms the rule again for what comes after its ban and, where it says so,
// clears what it has counted.
func (e *Engine) afterBan(f *firing, s *enforcement, now int64) {
	live := e.arena.live
	f.rule.kind.banned(e, record(e.arena.at(f.place)), f.rule)
	e.settle(e.shardOf(f.who.key), live)
	if f.rule.bundle.reset == nil {
		return
	}
	if s.generations == nil {
		s.generations = make(map[*rule]uint32)
	}
	s.generations[f.rule]++
	s.keepUntil = max(s.keepUntil, e.remembered(now))
}

// escalate notes the nth ban of a subject and how long that is remembered.
func (e *Engine) escalate(s *enforcement, nth int) {
	if nth > 0 {
		s.bans = nth
		s.lastEnd = max(s.lastEnd, s.ban.until)
		if esc := e.program.set.Settings.Escalation; esc != nil {
			s.keepUntil = max(s.keepUntil, s.lastEnd+esc.Decay+e.clock.lateness)
		}
	}
}
