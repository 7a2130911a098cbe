package detector

import (
	"encoding/json"
	"fmt"
	"slices"
)

// layout says where a program's rules have their counts in records. A snapshot carries
// it, so that another program finds those of the rules it has too.
type layout struct {
	Rules   []layoutRule   `json:"rules"`
	Bundles []layoutBundle `json:"bundles"`
}

// layoutRule is a rule, by its place in the list. What is of the same id and version
// decides the same, and goes on with the same counts.
type layoutRule struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Type    Type   `json:"type"`
	Metric  Metric `json:"metric,omitempty"` // where the kind depends on it
	Bundle  int    `json:"bundle"`
	Bit     uint   `json:"bit"`
	Extra   uint   `json:"extra,omitempty"` // where it has lanes too, which Bit says
}

type layoutBundle struct {
	Key     string   `json:"key,omitempty"`
	GroupBy []string `json:"group_by,omitempty"`
	Reset   bool     `json:"reset,omitempty"`
}

// layoutOf gives the layout of a program, and its text.
func layoutOf(p *Program) []byte {
	var l layout
	for _, r := range p.rules {
		l.Rules = append(l.Rules, layoutRule{ID: r.ID, Version: r.Version, Type: r.Type, Metric: r.Metric, Bundle: r.bundle.index, Bit: r.bit, Extra: r.extraBeside()})
	}
	for _, b := range p.bundles {
		l.Bundles = append(l.Bundles, layoutBundle{Key: b.key, GroupBy: b.groupBy, Reset: b.reset != nil})
	}
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // strings and numbers alone
	}
	return text
}

// extraBeside gives the first extra of a rule that has lanes too; 0 of others.
func (r *rule) extraBeside() uint {
	if r.kind.lanes == 0 || r.kind.extras == 0 {
		return 0
	}
	return r.extra
}

// programOf gives a program that has nothing but a layout: enough to read records by.
func programOf(text []byte) (*Program, error) {
	var l layout
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("reading the layout of a snapshot: %w", err)
	}
	if len(l.Bundles) >= nameBundle {
		return nil, fmt.Errorf("the layout of a snapshot has %d bundles", len(l.Bundles))
	}
	p := &Program{set: &Ruleset{}, layout: text}
	for i, b := range l.Bundles {
		p.bundles = append(p.bundles, &bundle{index: i, key: b.Key, groupBy: b.GroupBy})
	}
	for i, r := range l.Rules {
		k := kindFor(r.Type, r.Metric)
		if k == nil || r.Bundle < 0 || r.Bundle >= len(p.bundles) {
			return nil, fmt.Errorf("the layout of a snapshot has rule %s of type %q in bundle %d", r.ID, r.Type, r.Bundle)
		}
		b := p.bundles[r.Bundle]
		if len(b.lanes)+k.lanes > lanesPerRecord || len(b.extras)+k.extras > extrasPerRecord {
			return nil, fmt.Errorf("the layout of a snapshot has more rules in bundle %d than there is room for", r.Bundle)
		}
		x := &rule{Rule: &Rule{ID: r.ID, Version: r.Version, Type: r.Type, Metric: r.Metric}, index: i, bundle: b, kind: k}
		x.place(b)
		b.lanes = append(b.lanes, make([]lane, k.lanes)...)
		if x.bit != r.Bit || x.extraBeside() != r.Extra {
			return nil, fmt.Errorf("the layout of a snapshot has rule %s at bits %d and %d", r.ID, r.Bit, r.Extra)
		}
		if l.Bundles[r.Bundle].Reset {
			b.reset = x
		}
		b.rules = append(b.rules, x)
		p.rules = append(p.rules, x)
	}
	return p, nil
}

// same gives the rule of p with the id and version of r, nil if there is none.
func (p *Program) same(r *rule) *rule {
	i := slices.IndexFunc(p.rules, func(x *rule) bool { return x.ID == r.ID && x.Version == r.Version && x.Type == r.Type })
	if i < 0 {
		return nil
	}
	return p.rules[i]
}
