package detector

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// manual is what people have asked for: bans and exemptions in force, by subject.
// Most partitions have none.
type manual struct {
	addresses map[netip.Addr]manualState
	networks  []manualNetwork
	names     map[string]manualState // of users
	users     map[key]manualState    // the same, by the keys that rules have for them
}

type manualNetwork struct {
	network netip.Prefix
	manualState
}

// manualState is a ban or an exemption; event times from and until are in it.
type manualState struct {
	op          schemas.Op
	from, until int64
}

func (m manualState) holds(op schemas.Op, t int64) bool {
	return m.op == op && m.from <= t && t <= m.until
}

// none says that nothing was asked for addresses and networks.
func (m *manual) none() bool { return len(m.addresses) == 0 && len(m.networks) == 0 }

// of says whether a client is banned, or exempt, by hand at t.
func (m *manual) of(op schemas.Op, client netip.Addr, t int64) bool {
	if m.addresses[client].holds(op, t) {
		return true
	}
	for i := range m.networks {
		if n := &m.networks[i]; n.holds(op, t) && n.network.Contains(client) {
			return true
		}
	}
	return false
}

func (m *manual) exempts(client netip.Addr, t int64) bool {
	return !m.none() && m.of(schemas.OpExempt, client, t)
}

func (m *manual) bans(client netip.Addr, t int64) bool {
	return !m.none() && m.of(schemas.OpBan, client, t)
}

func (m *manual) exemptsUser(k key, t int64) bool { return m.users[k].holds(schemas.OpExempt, t) }
func (m *manual) bansUser(k key, t int64) bool    { return m.users[k].holds(schemas.OpBan, t) }

// Control has a manual change take effect before the record at an offset: the subject
// is not counted any more while it is banned or exempt by hand, and its bans by rules
// end where it is pardoned (unban) or exempt. What ends follows with the next Take.
// Applying a change a second time at the same offset changes nothing.
func (e *Engine) Control(next int64, c schemas.Control) {
	if e.wake <= next {
		e.wakeShards(next)
	}
	until := int64(c.Until())
	state := manualState{op: c.Op, from: int64(c.At), until: cmp.Or(until, 1<<62)}
	if c.Op == schemas.OpExempt {
		state.from = 0 // whatever the events' own time is
	}
	if c.Scope == schemas.ScopeUser {
		setManual(&e.manual.names, c.Value, state)
		for _, k := range e.userKeys(c.Value) {
			setManual(&e.manual.users, k, state)
			e.endByHand(next, c.Op, e.shardOf(k).bans.subjects[k])
		}
		return
	}
	network, err := netip.ParsePrefix(c.Value)
	if c.Scope == schemas.ScopeIP {
		var a netip.Addr
		if a, err = netip.ParseAddr(c.Value); err == nil {
			network = netip.PrefixFrom(a, a.BitLen())
		}
	}
	if err != nil {
		return // DecodeControl accepts nothing else
	}
	e.manual.setNetwork(network, state)
	for i := range e.shards {
		subjects := e.shards[i].bans.subjects
		for _, k := range slices.SortedFunc(maps.Keys(subjects), key.compare) {
			if s := subjects[k]; s.scope != schemas.ScopeUser && within(s.name, network) {
				e.endByHand(next, c.Op, s)
			}
		}
	}
}

// within says whether a subject, an address or a network, lies in a network.
func within(subject string, network netip.Prefix) bool {
	p, err := netip.ParsePrefix(subject)
	if err != nil {
		a, err := netip.ParseAddr(subject)
		return err == nil && network.Contains(a)
	}
	return p.Bits() >= network.Bits() && network.Contains(p.Addr())
}

// userKeys gives the keys of a user, one for each field that rules take as their key.
func (e *Engine) userKeys(value string) []key {
	var keys []key
	for _, b := range e.program.bundles {
		if b.field == nil {
			continue
		}
		if k := e.fieldKey(b.field, []byte(value)); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// keyUsers has what was asked for users hold for the keys of the engine's rules.
func (e *Engine) keyUsers() {
	clear(e.manual.users)
	for name, s := range e.manual.names {
		for _, k := range e.userKeys(name) {
			setManual(&e.manual.users, k, s)
		}
	}
}

// stands says whether a change leaves something in force.
func (m manualState) stands() bool { return m.op == schemas.OpBan || m.op == schemas.OpExempt }

// setManual replaces what was asked for a subject.
func setManual[K comparable](of *map[K]manualState, k K, s manualState) {
	switch {
	case !s.stands():
		delete(*of, k)
	case *of == nil:
		*of = map[K]manualState{k: s}
	default:
		(*of)[k] = s
	}
}

func (m *manual) setNetwork(network netip.Prefix, s manualState) {
	if network.IsSingleIP() {
		setManual(&m.addresses, network.Addr(), s)
		return
	}
	m.networks = slices.DeleteFunc(m.networks, func(n manualNetwork) bool { return n.network == network })
	if s.stands() {
		m.networks = append(m.networks, manualNetwork{network, s})
	}
}

// endByHand ends what rules have put in force against a subject.
func (e *Engine) endByHand(next int64, op schemas.Op, s *enforcement) {
	if s == nil || op != schemas.OpUnban && op != schemas.OpExempt || next < e.shardOf(s.key).next {
		return
	}
	s.banned, s.ban, s.throttle = nil, standing{}, standing{}
	s.pardoned = true
	s.keepUntil = max(s.keepUntil, e.remembered(e.clock.newest))
	e.show(s)
	e.queue(&e.shardOf(s.key).bans, s, e.clock.newest-1)
}
