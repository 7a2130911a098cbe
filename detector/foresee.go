package detector

import (
	"math/bits"
	"net/netip"

	"github.com/dchest/siphash"

	"github.com/apiwarden/apiwarden/schemas"
)

// Ahead is how many events Engine.Foresee looks at, at the most: enough to wait for
// memory once and not once an event, few enough for all of it to stay in the
// processor's nearest cache.
const Ahead = 16

// glimpse is what can be said of an event without the state: whom it counts for, by
// which rules, and under which keys.
type glimpse struct {
	event    *schemas.Event
	client   netip.Addr
	ignored  bool   // somebody untrusted claimed to be somebody else
	address  key    // of the client, or of its network
	hash     uint64 // of the address
	endpoint *endpoint
	plan     *plan
	valued   *rule // the rule whose value hash is known; nil: none
	value    uint64
	places   [2]located // of the plan's first steps
}

// located is where the record of a step is looked for.
type located struct {
	known  bool // false: the key depends on the state
	shard  *shard
	key    key
	hash   uint64
	place  ref  // where the record probably is; 0: probably nowhere
	folded bool // there were too many endpoints: the record is that of several
}

// Foresee says which events are judged next, in this order; those beyond Ahead are
// passed over. It changes nothing. It has what judging them will touch brought into
// the processor's caches, all of it at once, because an event waits for memory in five
// or six places: 80 of 920 ns with 20,000 clients, 180 of 940 with a million.
//
// The events must stay as they are until they are judged or Foresee is called again.
func (e *Engine) Foresee(events []*schemas.Event) {
	n := min(len(events), Ahead)
	for i := range n {
		g := &e.ahead[i]
		e.look(events[i], g)
		for j := range g.places {
			if at := &g.places[j]; at.known {
				at.shard.prefetch(at.hash)
			}
		}
		for j := range g.endpoint.views {
			g.endpoint.views[j].prefetch()
		}
	}
	for i := range n {
		for j := range e.ahead[i].places {
			if at := &e.ahead[i].places[j]; at.known {
				if at.place = at.shard.guess(at.hash); at.place != 0 {
					e.arena.prefetch(at.place, 0, 8)
				}
			}
		}
		for j := range e.ahead[i].endpoint.views {
			e.ahead[i].endpoint.views[j].prefetchTally(events[i])
		}
	}
	for i := range n {
		g := &e.ahead[i]
		for j := range g.places {
			if at := &g.places[j]; at.place != 0 {
				e.prefetchRecord(g, &g.plan.steps[j], record(e.arena.at(at.place)))
			}
		}
	}
	e.nextAhead, e.endAhead = 0, n
}

// look fills a glimpse.
func (e *Engine) look(ev *schemas.Event, g *glimpse) {
	g.event = ev
	g.client, g.ignored = e.program.Identity().Client(ev)
	g.address = addressKey(e.program.Identity().Mask(g.client))
	g.hash = e.seed.hash(g.address)
	g.endpoint = e.endpoints.of(ev)
	g.plan = g.endpoint.plan(ev.Status)
	g.valued = nil
	for j := range g.places {
		at := &g.places[j]
		at.known, at.place = false, 0
		if j >= len(g.plan.steps) {
			continue
		}
		step := &g.plan.steps[j]
		if b := step.bundle; b.key == "" && b.reset == nil {
			at.known = true
			e.locate(at, b, g.address, g.hash, ev, g.endpoint, 0)
		}
		if v := step.valued; v != nil && g.valued == nil {
			if text, ok := v.Field.Value(ev, &e.scratch); ok {
				g.valued, g.value = v, e.hashValue(text)
			}
		}
	}
}

// glimpse gives what is known of an event that is judged now.
func (e *Engine) glimpse(ev *schemas.Event) *glimpse {
	if e.nextAhead < e.endAhead {
		if g := &e.ahead[e.nextAhead]; g.event == ev {
			e.nextAhead++
			return g
		}
		e.endAhead = 0
	}
	e.look(ev, &e.alone)
	return &e.alone
}

// prefetchRecord has the parts of a record brought that a step of the event's plan
// will touch: the end of the log, where its lanes' windows begin, and the place of
// the value. The record may be another client's, by accident, and then it is in vain;
// one of other rules is left alone, for its cells mean something else.
func (e *Engine) prefetchRecord(g *glimpse, s *step, r record) {
	at := r.logAt()
	if r.bundle() != s.bundle.index || at+r.n() >= len(r) {
		return
	}
	prefetch(&r[at+r.n()])
	for lanes := uint32(s.lanes) & r.present(); lanes != 0; lanes &= lanes - 1 {
		lane := uint(bits.TrailingZeros32(lanes))
		prefetch(&r[at+laneCell(r[r.cell(lane)]).cursor()])
	}
	if v := g.valued; v != nil && v.bundle == s.bundle && r.has(v.bit) {
		if set := setRef(r[r.cell(v.bit)] & setMask); set != 0 {
			e.arena.prefetchValue(set, g.value)
		}
	}
}

func (e *Engine) hashValue(text []byte) uint64 { return siphash.Hash(e.seed[0], e.seed[1], text) }

// prefetch has words of a block brought, by their index from its first.
func (a *arena) prefetch(r ref, words ...int) {
	block := a.at(r)
	for _, i := range words {
		if i < len(block) {
			prefetch(&block[i])
		}
	}
}

// prefetchValue has the place of a value in a set brought.
func (a *arena) prefetchValue(set setRef, hash uint64) {
	if log := set.table(); log > 0 {
		home := 1 + tableRun*(int(hash)&(1<<log-1))
		a.prefetch(set.ref(), 0, home, home+2*tableRun)
		return
	}
	a.prefetch(set.ref(), 0, 8)
}
