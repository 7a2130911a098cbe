package detector

import (
	"math/bits"
	"net/netip"

	"github.com/apiwarden/apiwarden/schemas"
)

// Options say which log an engine judges.
type Options struct {
	Topic     string // of the triggers' positions: the topic, or a file's base name
	Partition int32
	File      bool      // no record timestamps: time is the events' own (rules.md, reading 8)
	Seed      [2]uint64 // of the hashes of keys and values; zero is a fixed one. No verdict depends on it
	Shards    int       // a power of two up to 256; 0 is 64
}

// Record is what Kafka says of an event's record.
type Record struct {
	Offset int64
	Time   int64 // the timestamp of the event's own record, µs; not looked at in a file
	Copy   *Copy // nil: the record is the event's own. Not kept
}

// Outcome says what became of an event.
type Outcome uint8

const (
	Counted  Outcome = iota // judged by the rules that see it, which may be none
	Late                    // older than lateness allows: changes nothing
	Exempt                  // of an exempt subject
	Blocked                 // marked blocked by its gateway
	Banned                  // of a subject under an active ban
	Rejected                // too far ahead; the event is to be dead-lettered
)

// Stats are running totals of an engine, but for Subjects and StateBytes.
type Stats struct {
	Subjects      int    // records in memory: one a subject, and one a group of rules with group_by
	StateBytes    int64  // held for them
	LateEvents    uint64 // too late to count
	NotEvaluated  uint64 // events that a body pattern could not see, having no body; by rule and event
	Unreadable    uint64 // bodies that were cut or are no JSON, where a pattern wanted it; by rule and event
	IgnoredClaims uint64 // events whose peer is no trusted proxy and named somebody else
	Evicted       uint64 // records dropped while they still counted; 0 without a bound on memory
}

// Engine judges the events of one partition in the order in which they come. It is
// used by one goroutine at a time.
type Engine struct {
	program   *Program
	opts      Options
	seed      seed
	clock     clock
	endpoints endpoints
	scratch   Scratch
	arena     *arena
	shards    []table
	shift     int // of a hash, to its shard
	bans      bans
	stats     Stats

	ahead               [Ahead]glimpse // of the events that are judged next
	nextAhead, endAhead int
	alone               glimpse // of an event that nobody foresaw
	located             located // of a record whose key could not be foreseen

	occurrence occurrence // of the event at hand, in the bundle at hand
	active     []sighting // the dynamic rules that see it
	fired      []firing
	runs       []run
	moments    []moment
	tally      map[uint64]int
	hashBuf    []byte

	verdicts []schemas.Verdict
	changes  []schemas.BanChange
}

// sighting is a rule that sees the event at hand and, for distinct, the value.
type sighting struct {
	rule  *rule
	value uint64
}

// NewEngine makes the engine of one partition, with nothing counted.
func NewEngine(p *Program, o Options) *Engine {
	if o.Seed == ([2]uint64{}) {
		o.Seed = [2]uint64{0xa0761d6478bd642f, 0xe7037ed1a0b428db}
	}
	if o.Shards == 0 {
		o.Shards = 64
	}
	s := &p.set.Settings
	return &Engine{
		program: p, opts: o, seed: o.Seed,
		clock:     clock{lateness: s.Lateness, maxSkew: s.MaxSkew, file: o.File},
		endpoints: newEndpoints(p),
		arena:     newArena(),
		shards:    make([]table, o.Shards),
		shift:     64 - bits.TrailingZeros(uint(o.Shards)),
		bans:      newBans(),
		tally:     make(map[uint64]int),
	}
}

// Observe judges one event. A BadRecord asks for the event to be dead-lettered: it
// is too far ahead, or too late where the rules say late: dead_letter. What the
// event led to is kept until Take.
func (e *Engine) Observe(ev *schemas.Event, r Record) (Outcome, *schemas.BadRecord) {
	t, bad := e.clock.admit(ev, r.Time)
	if bad != nil {
		return Rejected, bad
	}
	if e.bans.due(e.clock.newest) {
		e.endBans()
	}
	if t < e.clock.watermark() {
		e.stats.LateEvents++
		return Late, e.lateLetter(t)
	}
	if ev.Blocked {
		return Blocked, nil
	}
	g := e.glimpse(ev)
	if g.ignored {
		e.stats.IgnoredClaims++
	}
	if contains(e.program.set.Settings.Exempt, g.client) {
		return Exempt, nil
	}
	o := observed{Event: ev, time: t, record: r, glimpse: g}
	return e.judge(&o), nil
}

// observed is the event at hand and what the engine knows of it.
type observed struct {
	*schemas.Event
	*glimpse
	time   int64
	record Record
}

// judge lets every rule that can see the event count it, and decides what follows
// from those that fire.
func (e *Engine) judge(o *observed) Outcome {
	e.scratch.Reset()
	e.fired = e.fired[:0]
	outcome := Counted
	banned := e.bans.covers(o.address, o.time)
	for i := range o.plan.steps {
		step := &o.plan.steps[i]
		if !o.record.concerns(step.bundle) {
			continue
		}
		who, under := subject{key: o.address}, banned
		if step.bundle.field != nil {
			var ok bool
			if who, ok = e.keyed(step.bundle.field, o); !ok {
				continue
			}
			under = e.bans.covers(who.key, o.time)
		}
		if under {
			outcome = Banned
			continue
		}
		e.count(step, e.placeOf(i, who, o), who, o)
	}
	if len(e.fired) > 0 {
		e.decide(o)
	}
	return outcome
}

// placeOf says where the record of the plan's i-th step is looked for.
func (e *Engine) placeOf(i int, who subject, o *observed) *located {
	if i < len(o.places) && o.places[i].known {
		return &o.places[i]
	}
	hash := o.hash
	if who.field != nil {
		hash = e.seed.hash(who.key)
	}
	e.locate(&e.located, o.plan.steps[i].bundle, who.key, hash, o.Event, o.endpoint, o.time)
	return &e.located
}

// count lets the rules of one bundle count the event.
func (e *Engine) count(s *step, l *located, who subject, o *observed) {
	lanes := s.lanes
	cells := uint32(lanes)
	e.active = e.active[:0]
	for _, r := range s.dynamic {
		seen, matched, value := e.sees(r, o)
		if counts := r.lanesOf(matched); seen && (counts != 0 || r.kind.extras > 0) {
			lanes |= counts
			cells |= r.cellsOf(counts)
			e.active = append(e.active, sighting{rule: r, value: value})
		}
	}
	if cells == 0 {
		return
	}
	at := e.record(l, s.bundle, cells, lanes != 0)
	rec := record(e.arena.at(at))
	occ := &e.occurrence
	occ.rec, occ.time, occ.newest = rec, o.time, o.time >= rec.newest()
	if lanes != 0 {
		if o.time-rec.base() > maxOffset {
			e.rebase(s.bundle, rec)
		}
		occ.at = rec.add(o.time, lanes)
		occ.last = occ.at == rec.n()-1
		occ.log, occ.base = rec.log(), rec.base()
	}
	rec.touch(o.time)
	for _, r := range s.static {
		if found := r.kind.observe(e, occ, r); found.fire {
			e.fired = append(e.fired, firing{rule: r, finding: found, who: who, place: at})
		}
	}
	for i := range e.active {
		r := e.active[i].rule
		occ.value = e.active[i].value
		if found := r.kind.observe(e, occ, r); found.fire {
			e.fired = append(e.fired, firing{rule: r, finding: found, who: who, place: at})
		}
	}
}

// sees says whether a rule sees the event, whether its pattern (if any) matched, and
// for distinct the hash of the field's value.
func (e *Engine) sees(r *rule, o *observed) (seen, matched bool, value uint64) {
	if contains(r.Exempt, o.client) {
		return false, false, 0
	}
	if r.When != nil && !r.When.True(o.Event, &e.scratch) {
		return false, false, 0
	}
	if r.Pattern != nil {
		switch r.Pattern.Match(o.Event, &e.scratch) {
		case NotSeen:
			e.stats.NotEvaluated++
			return false, false, 0
		case Unreadable:
			e.stats.Unreadable++
			return r.Type == TypeRatio, false, 0
		case Missed:
			return r.Type == TypeRatio, false, 0
		}
	}
	if r == o.valued {
		return true, true, o.value
	}
	if r.Field != nil {
		v, ok := r.Field.Value(o.Event, &e.scratch)
		if !ok {
			return false, false, 0
		}
		value = e.hashValue(v)
	}
	return true, true, value
}

// record finds or makes the record of a key, with the cells wanted and, if entry,
// room for one more log entry.
func (e *Engine) record(l *located, b *bundle, cells uint32, entry bool) ref {
	k, h, t := l.key, l.hash, l.shard
	slot := t.find(e.arena, k, b.index, h)
	if slot < 0 {
		base := e.clock.newest - e.clock.lateness
		if t.used == 0 {
			t.floor = base
		}
		r := newRecord(e.arena, k, b.index, cells, base, 2)
		t.insert(e.arena, h, r)
		e.stats.Subjects++
		e.sweepShard(t, k)
		return r
	}
	before := t.ref(slot)
	r := withCells(e.arena, before, cells)
	if entry {
		r = e.makeRoom(b, r)
	}
	if r != before {
		t.moved(slot, r)
	}
	return r
}

// sweepSteps is how many slots a new record looks through for dead ones: enough to
// pass through a table several times while it doubles.
const sweepSteps = 4

// sweepShard drops records that no verdict can depend on any more. It goes on where
// it stopped, a few slots for each new record, so that there is never a pause and
// no work where no record is added. While none can be dead it does not look at all:
// each slot is a wait for memory.
func (e *Engine) sweepShard(t *table, fresh key) {
	dead := e.clock.watermark() - e.program.longest
	if dead <= t.floor {
		return
	}
	for range sweepSteps {
		if t.hand > t.mask() {
			t.passed(e.clock.watermark())
		}
		r := t.ref(t.hand)
		if r == 0 {
			t.hand++
			continue
		}
		rec := record(e.arena.at(r))
		if rec.newest() >= dead || rec.key() == fresh {
			t.least = min(t.least, rec.newest())
			t.hand++
			continue
		}
		e.drop(rec, r)
		t.remove(t.hand) // and look at what moved here
	}
}

// drop gives back what a record holds.
func (e *Engine) drop(rec record, r ref) {
	for i, x := range e.program.bundles[rec.bundle()].extras {
		if bit := uint(lanesPerRecord + i); x.kind == &distinct && rec.has(bit) {
			if set := setRef(rec[rec.cell(bit)] & setMask); set != 0 {
				e.arena.releaseSet(set)
			}
		}
	}
	e.arena.release(r, rec.class())
	e.stats.Subjects--
}

// remembered says until when an event of the time can matter.
func (e *Engine) remembered(t int64) int64 {
	return max(t, e.clock.newest) + e.program.longest + e.clock.lateness
}

// Take gives the verdicts and the changes of the ban topic since the last Take, in
// the order in which they happened. They are valid until the next Observe.
func (e *Engine) Take() ([]schemas.Verdict, []schemas.BanChange) {
	v, c := e.verdicts, e.changes
	e.verdicts, e.changes = e.verdicts[:0], e.changes[:0]
	return v, c
}

// Stats gives the totals so far.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.StateBytes = e.arena.bytes() + e.bans.bytes()
	return s
}

// Newest gives the newest event time in µs, 0 before the first event.
func (e *Engine) Newest() int64 { return e.clock.newest }

func (e *Engine) lateLetter(t int64) *schemas.BadRecord {
	if !e.program.set.Settings.LateDeadLetter {
		return nil
	}
	return &schemas.BadRecord{Reason: schemas.ReasonLate, Detail: "event time " + schemas.Micros(t).String() +
		" is older than lateness allows; the newest is " + schemas.Micros(e.clock.newest).String()}
}

func contains(ranges []netip.Prefix, a netip.Addr) bool {
	for i := range ranges {
		if ranges[i].Contains(a) {
			return true
		}
	}
	return false
}
