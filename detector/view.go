package detector

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// View is what learned rules look at: events of certain endpoints that fulfil a condition,
// grouped in a certain way. Rules that look at the same share a view, and so one summary
// of each endpoint and bucket. It is immutable.
type View struct {
	ID    string  // of what it looks at, the same in every release; summaries carry it
	Rules []*Rule // that share it, in file order; never none

	group  string // what is grouped by beside the endpoint: service, host, or "" for nothing
	metric Metric // of rules of type outlier: what is added up for each client
	sizes  sizeSet
}

// sizeSet is which sizes rules of type size judge.
type sizeSet [schemas.SizeKinds]bool

// viewOf gives the id of the view of a rule: a hash of what it looks at. It must never
// change, because what is learned is found by it.
func viewOf(r *Rule) string {
	when := ""
	if r.When != nil {
		when = strings.TrimSpace(r.When.String())
	}
	text := fmt.Appendf(nil, "%q %q %q %q", r.GroupBy, canonicalEndpoints(r.Endpoints), when, canonicalPrefixes(r.Exempt))
	if r.Type == TypeOutlier {
		text = fmt.Appendf(text, " %q", r.Metric)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// look adds a rule to the view that it shares, or makes that.
func (p *Program) look(r *Rule) {
	id := viewOf(r)
	i, there := slices.BinarySearchFunc(p.views, id, func(v *View, id string) int { return strings.Compare(v.ID, id) })
	if !there {
		v := &View{ID: id}
		if r.Type == TypeOutlier {
			v.metric = r.Metric
		}
		for _, field := range r.GroupBy {
			if field != "endpoint" {
				v.group = field
			}
		}
		p.views = slices.Insert(p.views, i, v)
	}
	p.views[i].Rules = append(p.views[i].Rules, r)
	if kind, ok := r.Metric.sizeKind(); ok {
		p.views[i].sizes[kind] = true
	}
}

// counter gives the rule that counts for a view of outlier rules: one for all that share it.
func (v *View) counter(view, index int) *rule {
	r := *v.Rules[0]
	r.ID, r.Version = v.ID, v.ID // so the counts are found under other rules with the same view
	return &rule{Rule: &r, index: index, span: newSpan(hour, false), view: view}
}

// Views gives what the learned rules of a program look at, in the order of their ids.
func (p *Program) Views() []*View { return p.views }

// viewIDs names the views of a program, in their order.
func (p *Program) viewIDs() []string {
	ids := make([]string, len(p.views))
	for i, v := range p.views {
		ids[i] = v.ID
	}
	return ids
}

// sees says whether an event of an endpoint of the view is one of its events.
func (v *View) sees(e *Engine, o *observed) bool {
	r := v.Rules[0]
	return !contains(r.Exempt, o.client) && (r.When == nil || r.When.True(o.Event, &e.scratch))
}
