package detector

import "github.com/apiwarden/apiwarden/schemas"

// Copy says what a record is a copy of that was keyed anew: events of one subject are
// in one partition then, whichever they came from.
type Copy struct {
	Source schemas.Position // of the event's own record: the position that verdicts name
	Key    string           // the field it is keyed by; "" is the address
}

// concerns says whether the rules of a bundle judge the record: all rules judge an
// event's own record, each copy is for those of its key.
func (r *Record) concerns(b *bundle) bool { return r.Copy == nil || r.Copy.Key == b.key }

// position gives where the event stands.
func (e *Engine) position(r *Record) *schemas.Position {
	if r.Copy != nil {
		source := r.Copy.Source
		return &source
	}
	return &schemas.Position{Topic: e.opts.Topic, Partition: e.opts.Partition, Offset: r.Offset}
}
