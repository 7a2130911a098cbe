package consumer

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// ruleset is what records are judged with: rules, and a decoder of what they look at.
type ruleset struct {
	program  *detector.Program
	decoder  *schemas.Decoder
	identity *schemas.Identity
}

func newRuleset(p *detector.Program, input schemas.Options) (*ruleset, error) {
	input.Needs = p.Needs()
	dec, err := schemas.NewDecoder(input)
	if err != nil {
		return nil, err
	}
	return &ruleset{program: p, decoder: dec, identity: p.Identity()}, nil
}

// replay is what a partition still has to read again before it is live: records that
// its snapshots do not contain, judged as its journal says they were.
type replay struct {
	muted int64  // what records before it led to is acknowledged already: it is not said again
	end   int64  // the first offset at which we may decide otherwise than the journal
	steps []step // by offset: what changes on the way
	began time.Time
	log   *zap.Logger
}

// step is a change before the record at its entry's offset.
type step struct {
	entry entry
	rules *ruleset // of begin and rules
}

// until is how many of recs come before the next change, or before outputs count.
func (r *replay) until(recs []*kgo.Record) int {
	stop := r.end
	if recs[0].Offset < r.muted {
		stop = min(stop, r.muted)
	}
	if len(r.steps) > 0 {
		stop = min(stop, r.steps[0].entry.Offset)
	}
	n := 1
	for n < len(recs) && recs[n].Offset < stop {
		n++
	}
	return n
}

// advance brings the partition to where the record at offset is judged.
func (r *replay) advance(p *partition, offset int64) {
	for len(r.steps) > 0 && r.steps[0].entry.Offset <= offset {
		r.take(p, &r.steps[0])
		r.steps = r.steps[1:]
	}
}

func (r *replay) take(p *partition, s *step) {
	switch s.entry.Kind {
	case entryControl:
		p.engine.Control(s.entry.Offset, s.entry.Control.control())
	case entryRules:
		p.rules = s.rules
		p.engine.Adopt(s.entry.Offset, s.rules.program)
	case entryBound:
		p.engine.Bound(s.entry.Bound.Bytes, s.entry.Bound.Endpoints)
	case entryBegin: // the engine was made with it
	}
}
