package detector

import (
	"math"
	"math/bits"
	"net/netip"

	"github.com/apiwarden/apiwarden/schemas"
)

// Options say which log an engine judges.
type Options struct {
	Topic     string // of the triggers' positions: the topic, or a file's base name
	Partition int32
	File      bool      // no record timestamps: time is the events' own (rules.md, reading 8)
	Seed      [2]uint64 // of the hashes of keys and values; zero is a fixed one. No verdict depends on it as long as nothing is evicted
	Shards    int       // a power of two up to 256; 0 is 64

	MaxBytes     int64 // bound on the state of one shard, in bytes; 0: none
	MaxEndpoints int   // endpoint names that a shard tells apart; 0: all
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

// Stats are running totals of an engine, but for Subjects, StateBytes and SummaryBytes.
type Stats struct {
	Subjects      int    // records in memory: one a subject, and one a group of rules with group_by
	StateBytes    int64  // held for them
	LateEvents    uint64 // too late to count
	NotEvaluated  uint64 // events that a body pattern could not see, having no body; by rule and event
	Unreadable    uint64 // bodies that were cut or are no JSON, where a pattern wanted it; by rule and event
	IgnoredClaims uint64 // events whose peer is no trusted proxy and named somebody else
	Evicted       uint64 // records dropped while they still counted; 0 without a bound on memory
	SummaryBytes  int64  // held for what learned rules look at, StateBytes apart
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
	shards    []shard
	shift     int // of a hash, to its shard
	filter    banFilter
	nextEnd   int64 // no ban ends earlier; µs
	budgets   budgets
	manual    manual
	summaries summaries

	// Snapshots: the newest offset before which every shard was copied twice, so that
	// nothing before it is ever judged again.
	repeatable int64
	restored   []SnapshotHeader // of Restore, until Begin
	wake       int64            // no waiting shard contains less

	stats Stats

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
	full       []*shard // over their bound since the event at hand
	candidates []candidate

	verdicts []schemas.Verdict
	changes  []schemas.BanChange
}

// sighting is a rule that sees the event at hand and, for distinct, outlier and walk, the value.
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
		shards:    makeShards(o.Shards),
		shift:     64 - bits.TrailingZeros(uint(o.Shards)),
		nextEnd:   math.MaxInt64,
		wake:      math.MaxInt64,
		budgets:   make(budgets),
		summaries: summaries{views: p.viewIDs()},
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
	if r.Offset >= e.wake {
		e.wakeShards(r.Offset)
	}
	if e.nextEnd < e.clock.newest {
		e.endBans()
	}
	if len(e.program.views) > 0 {
		e.closeBuckets(r.Offset)
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
	if contains(e.program.set.Settings.Exempt, g.client) || e.manual.exempts(g.client, t) {
		return Exempt, nil
	}
	o := observed{Event: ev, time: t, record: r, glimpse: g}
	e.scratch.Reset()
	if len(e.program.views) > 0 {
		e.summarize(&o)
	}
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
	e.fired = e.fired[:0]
	outcome := Counted
	ban := e.enforced(o.address)
	banned := ban.covers(o.time) || e.manual.bans(o.client, o.time)
	for i := range o.plan.steps {
		step := &o.plan.steps[i]
		if !o.record.concerns(step.bundle) {
			continue
		}
		who, entry, under := subject{key: o.address}, ban, banned
		if step.bundle.field != nil {
			var ok bool
			if who, ok = e.keyed(step.bundle.field, o); !ok {
				continue
			}
			if e.manual.exemptsUser(who.key, o.time) {
				continue
			}
			entry = e.enforced(who.key)
			under = entry.covers(o.time) || e.manual.bansUser(who.key, o.time)
		}
		if under {
			outcome = Banned
			continue
		}
		e.occurrence.pardoned = entry != nil && entry.pardoned
		place := e.placeOf(i, who, o)
		if o.record.Offset < place.shard.next {
			continue // a restored shard has counted the event already
		}
		e.count(step, place, who, o)
	}
	if len(e.fired) > 0 {
		e.decide(o)
	}
	for _, s := range e.full {
		e.evict(s)
	}
	e.full = e.full[:0]
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
	live := e.arena.live
	at := e.record(l, s.bundle, who, o, cells, lanes != 0)
	rec := record(e.arena.at(at))
	occ := &e.occurrence
	occ.rec, occ.time, occ.newest = rec, o.time, o.time >= rec.newest()
	if s.choosy {
		lanes = e.choose(rec, lanes, o.time)
	}
	if lanes != 0 {
		if o.time-rec.base() > maxOffset {
			e.rebase(s.bundle, rec)
		}
		occ.at = rec.add(o.time, lanes)
		occ.last = occ.at == rec.n()-1
		occ.log, occ.base = rec.log(), rec.base()
	}
	rec.touch(o.time, l.shard.cycle)
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
		if r.Metric != "" && occ.change.told() && !l.folded {
			e.compare(r, o, &occ.change)
		}
	}
	e.settle(l.shard, live)
	if e.opts.MaxBytes > 0 && l.shard.bytes() > e.opts.MaxBytes {
		e.full = append(e.full, l.shard)
	}
}

// choose takes the rules out of those that see the event that do not count it, and gives
// the lanes that are left.
func (e *Engine) choose(rec record, lanes uint16, t int64) uint16 {
	counted := e.active[:0]
	for _, x := range e.active {
		if x.rule.kind.counts == nil || x.rule.kind.counts(rec, x.rule, x.value, t) {
			counted = append(counted, x)
		} else {
			lanes &^= 1 << x.rule.bit
		}
	}
	e.active = counted
	return lanes
}

// sees says whether a rule sees the event, whether its pattern (if any) matched, and
// for distinct the hash of the field's value, for outlier what it measures, for walk the id.
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
	if r.Metric != "" {
		value, seen = r.Metric.measure(o.Event)
		return seen, true, value
	}
	if r.kind == &walk {
		value, seen = r.id(o.Event, &e.scratch)
		return seen, true, value
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
func (e *Engine) record(l *located, b *bundle, who subject, o *observed, cells uint32, entry bool) ref {
	s := l.shard
	slot := s.find(e.arena, l.key, b.index, l.hash)
	if slot < 0 && b.byEndpoint && !e.named(s, o.endpoint.key) {
		l.key = e.groupKey(b, who.key, e.seed.hash(who.key), o.Event, foldedName, o.time)
		l.hash = b.hash(e.seed.hash(l.key))
		l.folded = true
		slot = s.find(e.arena, l.key, b.index, l.hash)
	}
	if slot < 0 {
		base := e.clock.watermark()
		if s.used == 0 {
			s.sweep.floor = base
		}
		r := newRecord(e.arena, l.key, b.index, cells, base, 2)
		s.insert(e.arena, l.hash, r)
		e.added(s, r)
		return r
	}
	before := s.ref(slot)
	if s.copy != nil {
		e.copyBefore(s, record(e.arena.at(before)))
	}
	r := withCells(e.arena, before, cells)
	if entry {
		r = e.makeRoom(b, r)
	}
	if r != before {
		s.moved(slot, r)
	}
	return r
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
	s.StateBytes, s.SummaryBytes = e.arena.bytes(), e.summaries.pool.bytes
	for i := range e.shards {
		s.StateBytes += e.shards[i].bans.bytes()
	}
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
