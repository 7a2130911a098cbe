package detector

import "github.com/apiwarden/apiwarden/schemas"

// Needs gives the fields of events that an engine of the program may look at, for the
// decoder that feeds it: verdicts are the same without the others.
func (p *Program) Needs() schemas.FieldSet {
	// Whatever the rules: whom an event counts for, whether it was refused already,
	// and its endpoint.
	names := []string{"peer_ip", "x_forwarded_for", "blocked", "route"}
	for _, r := range p.set.Rules {
		names = append(names, r.reads()...)
	}
	return schemas.FieldsNamed(names...)
}

// reads names the fields that a rule looks at besides those that every event needs.
func (r *Rule) reads() []string {
	var names []string
	if r.When != nil {
		for _, f := range r.When.fields {
			names = append(names, f.name)
		}
	}
	switch {
	case r.Type == TypeOutlier && r.Metric == MetricCost:
		names = append(names, "latency_ms")
	case r.Learned && r.Type != TypeOutlier:
		names = append(names, "latency_ms", "response_bytes")
	}
	switch r.Metric {
	case MetricRequest:
		names = append(names, "request_bytes")
	case MetricQuery:
		names = append(names, "query")
	}
	if r.Pattern != nil && r.Pattern.status == nil {
		names = append(names, "response_body", "response_fields")
	}
	for _, f := range []*Field{r.Field, r.KeyField} {
		if f != nil {
			names = append(names, f.first)
		}
	}
	for _, name := range r.GroupBy {
		if name != "endpoint" {
			names = append(names, name)
		}
	}
	return names
}
