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
	// later are the snapshots of shards that were taken under rules or bounds that do
	// not hold yet. Until then their shards judge in vain what they contain.
	later map[int]shardSnapshot
	began time.Time
	log   *zap.Logger
	lost  func(shard int, err error) // told of a snapshot that cannot be used after all
}

// step is a change before the record at offset.
type step struct {
	offset  int64
	entry   entry
	n       int      // entries that hold then
	era     int      // changes of rules and bounds that hold then
	rules   *ruleset // of begin and rules
	bound   bound    // that holds then
	engines engines
}

// shardSnapshot is a snapshot that restore has chosen.
type shardSnapshot struct {
	era            int // changes of rules and bounds that it contains
	whole, changes []byte
}

// engines makes the engines of one partition.
type engines struct {
	options detector.Options
}

func (e engines) make(p *detector.Program, b bound) *detector.Engine {
	engine := detector.NewEngine(p, e.options)
	engine.Bound(b.Bytes, b.Endpoints)
	return engine
}

// until is how many of recs come before the next change, or before outputs count.
func (r *replay) until(recs []*kgo.Record) int {
	stop := r.end
	if recs[0].Offset < r.muted {
		stop = min(stop, r.muted)
	}
	if len(r.steps) > 0 {
		stop = min(stop, r.steps[0].offset)
	}
	n := 1
	for n < len(recs) && recs[n].Offset < stop {
		n++
	}
	return n
}

// advance brings the partition to where the record at offset is judged.
func (r *replay) advance(p *partition, offset int64) {
	for len(r.steps) > 0 && r.steps[0].offset <= offset {
		r.take(p, &r.steps[0])
		r.steps = r.steps[1:]
	}
}

func (r *replay) take(p *partition, s *step) {
	if s.entry.Kind == entryControl {
		p.engine.Control(s.offset, s.entry.Control.control())
		return
	}
	if s.rules != nil {
		p.rules = s.rules
	}
	due := false
	for _, snap := range r.later {
		due = due || snap.era <= s.era
	}
	switch {
	case due:
		r.rebuild(p, s)
	case s.rules != nil:
		p.engine.Adopt(s.rules.program)
	default:
		p.engine.Bound(s.bound.Bytes, s.bound.Endpoints)
	}
}

// rebuild makes the engine anew where a step makes other rules or bounds hold: of
// the shards as they stand now, and of the snapshots that were taken under the new
// ones. Rules that a program does not have would be dropped from those.
func (r *replay) rebuild(p *partition, s *step) {
	before := p.engine
	p.engine = s.engines.make(p.rules.program, s.bound)
	var c detector.ShardCopy
	var encoded []byte
	for shard := range before.Shards() {
		snap, ready := r.later[shard]
		if ready = ready && snap.era <= s.era; ready {
			delete(r.later, shard)
		} else {
			before.Copy(shard, s.offset, true, &c)
			encoded = c.Append(encoded[:0])
			snap = shardSnapshot{whole: encoded}
		}
		if err := p.engine.Restore(snap.whole, snap.changes); err != nil {
			r.lost(shard, err)
		}
	}
	p.engine.Begin(s.offset)
	for _, e := range p.journal.Entries[:s.n] {
		if e.Kind == entryControl {
			p.engine.Control(e.Offset, e.Control.control())
		}
	}
}
