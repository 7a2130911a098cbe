package detector

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// Program is a rules file made ready to run: immutable, shared by all engines.
type Program struct {
	set     *Ruleset
	rules   []*rule // those that are judged, in file order, and those that count for views
	views   []*View // of learned rules, by id
	bundles []*bundle
	longest int64 // the longest window, µs
	folder  *Folder
	hash    string
	layout  []byte // see layoutOf
}

// rule is a Rule and where its counters stand.
type rule struct {
	*Rule
	index    int
	bundle   *bundle
	bit      uint // of a record's cells: the first lane (0 to 15), or of kinds without lanes the first extra (16 to 31)
	extra    uint // the first extra
	matching uint // ratio: the lane of the matching events, bit being that of the seen ones; else bit
	span     span
	kind     *kind
	static   bool // endpoint and status alone decide whether the rule counts an event
	view     int  // outlier: the view that it counts for
}

// bundle is the rules whose counters share a record: they count for the same
// subject and group.
type bundle struct {
	index      int
	key        string   // the event field that is the subject; "" is the address
	field      *Field   // the same; nil is the address
	groupBy    []string // what counts alone, besides the subject
	byEndpoint bool     // groupBy has the endpoint
	reset      *rule    // set where the bundle is that of a grouped rule with reset_on_ban
	lanes      []lane
	extras     []*rule // by bit
	rules      []*rule // all of them
	sets       []uint  // bits of the extras that have a set of values
}

// renewals is how many more events than it takes to fire are kept where a rule bans:
// so many bans may follow each other inside one window with an exact count in each
// verdict. The bans themselves keep the events few.
const renewals = 4096

// needed says how many of the newest events (distinct: values) decide. More are
// dropped; the count then stays behind, and what is over the threshold stays so.
func (r *rule) needed() int {
	if r.Action == schemas.ActionBan && !r.Passive {
		return int(r.Threshold) + 1 + renewals
	}
	return int(r.Threshold) + 1
}

// lanesOf gives the lanes that count an event which the rule sees.
func (r *rule) lanesOf(matched bool) uint16 {
	switch {
	case r.kind.lanes == 0:
		return 0
	case matched:
		return 1<<r.bit | 1<<r.matching
	case r.kind.lanes == 2:
		return 1 << r.bit
	}
	return 0
}

// cellsOf gives the cells that an event takes which the rule sees, as bits of a
// record's present: those of its lanes, and the rule's extras.
func (r *rule) cellsOf(lanes uint16) uint32 {
	return uint32(lanes) | (1<<r.kind.extras-1)<<r.extra
}

// lane is one bit of a bundle's log.
type lane struct {
	span   span
	needed int // how many of the newest events decide; 0: all in the window
}

// Load reads rules from a file or a folder and compiles them. The error is a
// *Refusal with every problem.
func Load(path string) (*Program, error) {
	set, err := ReadRules(path)
	if err != nil {
		return nil, err
	}
	return Compile(set)
}

// Compile makes a Program of rules that ReadRules accepted.
func Compile(set *Ruleset) (*Program, error) {
	p := &Program{set: set}
	var problems []Problem
	var patterns []EndpointPattern
	for _, r := range set.Rules {
		patterns = append(patterns, r.Endpoints...)
		if r.Learned {
			p.look(r)
			continue
		}
		if r.Window > maxWindow {
			problems = append(problems, Problem{File: r.File, Line: r.Line,
				Reason: fmt.Sprintf("rule %s: window is longer than four years", r.ID)})
		}
		p.rules = append(p.rules, &rule{Rule: r, index: len(p.rules), span: newSpan(r.Window, r.HalfOpen)})
		p.longest = max(p.longest, r.Window)
	}
	if problems != nil {
		return nil, &Refusal{Problems: problems}
	}
	for i, v := range p.views {
		if v.metric != "" {
			p.rules = append(p.rules, v.counter(i, len(p.rules)))
			p.longest = max(p.longest, hour)
		}
	}
	for _, r := range p.rules {
		p.bundle(r)
	}
	p.layout = layoutOf(p)
	p.folder = NewFolder(patterns, set.Settings.Templates)
	sum := sha256.New()
	for _, r := range set.Rules {
		fmt.Fprintf(sum, "%s %s\n", r.ID, r.Version)
	}
	set.source.sum(sum)
	p.hash = hex.EncodeToString(sum.Sum(nil)[:6])
	return p, nil
}

// bundle gives r its lanes or its extras in the first bundle of its group with room.
func (p *Program) bundle(r *rule) {
	r.kind = kindFor(r.Type, r.Metric)
	lanes, extras := r.kind.lanes, r.kind.extras
	var reset *rule
	if r.ResetOnBan && len(r.GroupBy) > 0 {
		reset = r // clearing it must not clear its neighbours
	}
	i := slices.IndexFunc(p.bundles, func(b *bundle) bool {
		return b.key == r.Key && b.reset == nil && reset == nil && slices.Equal(b.groupBy, r.GroupBy) &&
			len(b.lanes)+lanes <= lanesPerRecord && len(b.extras)+extras <= extrasPerRecord
	})
	if i < 0 {
		i = len(p.bundles)
		p.bundles = append(p.bundles, &bundle{index: i, key: r.Key, field: r.KeyField, groupBy: r.GroupBy, byEndpoint: slices.Contains(r.GroupBy, "endpoint"), reset: reset})
	}
	b := p.bundles[i]
	r.bundle = b
	b.rules = append(b.rules, r)
	needed := 0
	if lanes == 1 {
		needed = r.needed()
	}
	r.place(b)
	for range lanes {
		b.lanes = append(b.lanes, lane{span: r.span, needed: needed})
	}
	status := true
	if r.Pattern != nil {
		_, status = r.Pattern.Status()
	}
	r.static = status && extras == 0 && r.When == nil && len(r.Exempt) == 0
}

// place gives a rule the next cells of its bundle, but for its lanes, which are the
// caller's to add.
func (r *rule) place(b *bundle) {
	r.bit, r.extra = uint(len(b.lanes)), uint(lanesPerRecord+len(b.extras))
	r.matching = r.bit + uint(r.kind.lanes) - 1
	if r.kind.lanes == 0 {
		r.bit, r.matching = r.extra, r.extra
	}
	for range r.kind.extras {
		b.extras = append(b.extras, r)
	}
	if r.kind == &distinct {
		b.sets = append(b.sets, r.bit)
	}
}

// Warnings are what check prints of rules that are accepted all the same.
func (p *Program) Warnings() []Problem { return p.set.Warnings }

// Rules gives the rules in file order; read only.
func (p *Program) Rules() []*Rule { return p.set.Rules }

// Identity says whom an event counts for under these rules.
func (p *Program) Identity() *schemas.Identity { return &p.set.Settings.Identity }

// MaxSkew is how far an event may be ahead of its record's timestamp, in µs.
func (p *Program) MaxSkew() int64 { return p.set.Settings.MaxSkew }

// Remembers is for how long, in µs of event time, what an event led to can matter to
// verdicts on later events: windows, bans and what lengthens bans.
func (p *Program) Remembers() int64 {
	ban := int64(0)
	for _, r := range p.rules {
		if r.Action == schemas.ActionBan {
			ban = max(ban, r.BanFor)
		}
	}
	if e := p.set.Settings.Escalation; e != nil && ban > 0 {
		ban = max(ban, e.Max) + e.Decay
	}
	return p.longest + p.set.Settings.Lateness + ban
}

// Source is the text that the rules were read from; empty where they were not read.
func (p *Program) Source() Source { return p.set.source }

// Hash tells rule sets apart: of the text, and of what each rule decides by, which
// another release may read out of the same text differently.
func (p *Program) Hash() string { return p.hash }

// Keys names the fields other than the address that rules take as their subject.
func (p *Program) Keys() []string {
	var keys []string
	for _, b := range p.bundles {
		if b.key != "" && !slices.Contains(keys, b.key) {
			keys = append(keys, b.key)
		}
	}
	return keys
}

// Endpoint appends the endpoint key of an event, "METHOD template", to dst.
func (p *Program) Endpoint(dst []byte, ev *schemas.Event) []byte {
	dst = append(append(dst, ev.Method...), ' ')
	dst, _ = p.template(dst, ev)
	return dst
}

// template appends the template of an event's path to dst and says whether it is
// one (a route, or a configured template), not just the path with its ids folded.
func (p *Program) template(dst []byte, ev *schemas.Event) ([]byte, bool) {
	if len(ev.Route) > 0 {
		return append(dst, ev.Route...), true
	}
	if t := p.set.Settings.Templates; t != nil {
		if to, ok := t.Map(dst, ev.Method, ev.Path); ok {
			return to, true
		}
	}
	return p.folder.Fold(dst, ev.Path), false
}

// String names the rules, for logs.
func (p *Program) String() string {
	var ids []string
	for _, r := range p.rules {
		if r.Metric == "" {
			ids = append(ids, r.ID)
		}
	}
	return strings.Join(ids, ", ")
}
