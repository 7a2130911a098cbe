package sink

import (
	"net/netip"

	"github.com/apiwarden/apiwarden/schemas"
)

// manualRule stands among the rule ids of what a person has banned.
const manualRule = "manual"

// manualTable is what people have said, by the ban topic's key: all that is on the
// control topic. It has no I/O and no clock: now is µs since 1970.
//
// Nothing of it is forgotten, as the topic forgets nothing: it is made by hand and
// stays small.
type manualTable struct {
	said   map[string]manualSaid
	exempt map[netip.Prefix]string // keys of the networks that are exempt
}

// manualSaid is what people have said of a subject.
type manualSaid struct {
	newest schemas.Control
	prefix netip.Prefix   // of the subject, where it has addresses
	ended  schemas.Micros // what rules have decided before is over; 0: nothing is
	over   bool           // the newest has ended, and what follows from that is done
}

func newManualTable() manualTable {
	return manualTable{said: make(map[string]manualSaid), exempt: make(map[netip.Prefix]string)}
}

// take takes the newest change of a subject, in the control topic's order.
func (m *manualTable) take(c schemas.Control) (key string) {
	key = schemas.BanKey(c.Scope, c.Value)
	s := m.said[key]
	s.newest, s.over = c, false
	prefix, networked := schemas.SubjectPrefix(c.Scope, c.Value)
	s.prefix = prefix
	if c.Op == schemas.OpUnban || c.Op == schemas.OpExempt {
		s.ended = max(s.ended, c.At)
	}
	delete(m.exempt, prefix)
	if c.Op == schemas.OpExempt && networked {
		m.exempt[prefix] = key
	}
	m.said[key] = s
	return key
}

// ban gives the ban of a subject by hand, nil where there is none.
func (m *manualTable) ban(key string, now int64) *schemas.Ban {
	s, ok := m.said[key]
	if !ok || s.newest.Op != schemas.OpBan || s.lapsed(now) {
		return nil
	}
	c := &s.newest
	return &schemas.Ban{
		Scope: c.Scope, Value: c.Value, Action: schemas.ActionBan, RuleIDs: []string{manualRule},
		Reason: cutText(c.Reason), Since: c.At, ExpiresAt: c.Until(),
	}
}

// over says whether a person has ended what rules decided.
func (m *manualTable) over(key string, ban *schemas.Ban) bool { return ban.Since < m.said[key].ended }

// exempts says whether a subject may not stand on the ban topic: it is exempt itself,
// or shares addresses with what is.
func (m *manualTable) exempts(key string, now int64) bool {
	if s, ok := m.said[key]; ok && s.newest.Op == schemas.OpExempt && !s.lapsed(now) {
		return true
	}
	if len(m.exempt) == 0 {
		return false
	}
	prefix, ok := prefixOf(key)
	if !ok {
		return false
	}
	for other, its := range m.exempt {
		if s := m.said[its]; other.Overlaps(prefix) && !s.lapsed(now) {
			return true
		}
	}
	return false
}

// lapsing gives those whose newest change has ended by now, each once, and the next
// moment after which one may.
func (m *manualTable) lapsing(now int64) (lapsed []manualSaid, next int64) {
	next = 1<<63 - 1
	for key, s := range m.said {
		switch until := int64(s.newest.Until()); {
		case until == 0 || s.over:
		case now > until:
			s.over = true
			m.said[key] = s
			lapsed = append(lapsed, s)
		default:
			next = min(next, until)
		}
	}
	return lapsed, next
}

// lapsed: like a ban, a change holds up to and including its end.
func (s *manualSaid) lapsed(now int64) bool {
	until := int64(s.newest.Until())
	return until != 0 && now > until
}
