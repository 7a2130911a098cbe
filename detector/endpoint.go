package detector

import (
	"bytes"

	"github.com/apiwarden/apiwarden/schemas"
)

// maxEndpoints bounds the cache of endpoints; a client that invents paths makes it
// start anew, which costs time and changes no verdict.
const maxEndpoints = 1 << 14

// endpoint is what an engine knows of METHOD + template.
type endpoint struct {
	name  string  // the endpoint key
	key   []byte  // the same
	rules []*rule // whose endpoint patterns match
	plans []plan  // by status, made on demand
	views []aspect
}

// plan is what an event of one endpoint and status can touch: nothing of a rule
// that cannot see it is looked at again.
type plan struct {
	status uint16
	steps  []step
}

// step is the part of a plan that concerns one bundle.
type step struct {
	bundle  *bundle
	lanes   uint16  // lanes that count the event whatever else it says
	static  []*rule // the rules of these lanes
	choosy  bool    // some of the dynamic rules do not count all that they see: see kind.counts
	valued  *rule   // the first dynamic rule that looks at nothing but a value, if there is one
	dynamic []*rule // rules whose condition, pattern, field or exemption must be looked at
}

// endpoints finds an event's endpoint by METHOD + template.
type endpoints struct {
	program *Program
	known   map[string]*endpoint
	routes  [1 << routeBits]*endpoint // of events with a route, where its hash says; others are looked up in known
	scratch []byte
}

const routeBits = 8

// routed finds the endpoint of an event that has a route without composing its key
// (10 ns). slot is where it belongs.
func (es *endpoints) routed(ev *schemas.Event) (ep *endpoint, slot uint) {
	n := len(ev.Route)
	slot = (uint(ev.Route[n-1]) + uint(ev.Route[n/2])<<3 + uint(n)<<5 + uint(len(ev.Method))) % (1 << routeBits)
	ep = es.routes[slot]
	if ep == nil || len(ep.key) != len(ev.Method)+1+n ||
		string(ep.key[len(ev.Method)+1:]) != string(ev.Route) || string(ep.key[:len(ev.Method)]) != string(ev.Method) || ep.key[len(ev.Method)] != ' ' {
		return nil, slot
	}
	return ep, slot
}

func newEndpoints(p *Program) endpoints {
	return endpoints{program: p, known: make(map[string]*endpoint)}
}

// of gives the event's endpoint.
func (es *endpoints) of(ev *schemas.Event) *endpoint {
	if len(ev.Route) == 0 {
		return es.find(ev)
	}
	ep, slot := es.routed(ev)
	if ep == nil {
		ep = es.find(ev)
		es.routes[slot] = ep
	}
	return ep
}

// find looks the event's endpoint up, or makes it. The first byte of the key tells a
// template from a folded path, because patterns treat them differently.
func (es *endpoints) find(ev *schemas.Event) *endpoint {
	k := append(append(append(es.scratch[:0], 'P'), ev.Method...), ' ')
	path := len(k)
	k, isTemplate := es.program.template(k, ev)
	if isTemplate {
		k[0] = 'T'
	}
	es.scratch = k
	if ep, ok := es.known[string(k)]; ok {
		return ep
	}
	if len(es.known) >= maxEndpoints {
		clear(es.known)
		clear(es.routes[:])
	}
	ep := &endpoint{name: string(k[1:]), key: bytes.Clone(k[1:])}
	for _, r := range es.program.rules {
		if r.matches(ev.Method, k[path:], isTemplate) {
			ep.rules = append(ep.rules, r)
		}
	}
	for i, v := range es.program.views {
		if v.Rules[0].matches(ev.Method, k[path:], isTemplate) {
			ep.views = append(ep.views, aspect{view: v, index: i})
		}
	}
	es.known[string(k)] = ep
	return ep
}

func (r *Rule) matches(method, path []byte, isTemplate bool) bool {
	for i := range r.Endpoints {
		if r.Endpoints[i].Match(method, path, isTemplate) {
			return true
		}
	}
	return len(r.Endpoints) == 0
}

// plan gives the plan for a status.
func (ep *endpoint) plan(status uint16) *plan {
	for i := range ep.plans {
		if ep.plans[i].status == status {
			return &ep.plans[i]
		}
	}
	p := plan{status: status}
	for _, r := range ep.rules {
		if !r.static {
			s := p.step(r.bundle)
			s.dynamic = append(s.dynamic, r)
			s.choosy = s.choosy || r.kind.counts != nil
			if s.valued == nil && r.kind == &distinct && r.When == nil && r.Pattern == nil {
				s.valued = r
			}
			continue
		}
		matched := true
		if r.Pattern != nil {
			is, _ := r.Pattern.Status()
			matched = is(status)
		}
		if lanes := r.lanesOf(matched); lanes != 0 {
			s := p.step(r.bundle)
			s.lanes |= lanes
			s.static = append(s.static, r)
		}
	}
	ep.plans = append(ep.plans, p)
	return &ep.plans[len(ep.plans)-1]
}

func (p *plan) step(b *bundle) *step {
	for i := range p.steps {
		if p.steps[i].bundle == b {
			return &p.steps[i]
		}
	}
	p.steps = append(p.steps, step{bundle: b})
	return &p.steps[len(p.steps)-1]
}
