package detector

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// bans is who, of a shard's subjects, is banned or throttled now, who was so recently
// that it still matters, and when each of it ends. Few subjects are, so it holds
// ordinary Go values.
type bans struct {
	subjects map[key]*enforcement
	ends     endHeap
}

// banFilter tells subjects that no shard has an entry of: most events need no more.
type banFilter struct {
	bits    [1 << 10]uint64 // a bit for the hash of each subject
	held    int
	dropped int // since the bits were set anew
}

// enforcement is what is, or was, in force for one subject.
type enforcement struct {
	key         key
	scope       schemas.Scope
	name        string
	banned      []interval // event times under a ban; late events are looked up in the past ones
	ban         standing
	throttle    standing
	shown       *schemas.Ban // what stands on the ban topic; nil: nothing
	queued      int64        // the ending of the subject that is in the heap; 0: none
	bans        int          // escalation: bans so far
	lastEnd     int64        // escalation: when the last of them ends
	generations map[*rule]uint32
	pardoned    bool  // a ban was ended by hand, and none has followed
	keepUntil   int64 // the subject's entry is needed until then
}

// interval is a ban's event times, both ends included.
type interval struct{ from, until int64 }

// standing is a ban or throttle in force.
type standing struct {
	since, until int64
	rules        []*rule
	lead         *rule  // whose message and reason are shown: the one that ends last
	reason       string // the lead's sentence
	unpublished  bool   // over the ban budget: in force for counting, not on the ban topic
}

func (s *standing) active(now int64) bool { return len(s.rules) > 0 && s.until >= now }

// extend adds a rule's ban or throttle from t until an end to what stands.
func (s *standing) extend(r *rule, t, until, now int64, reason string, unpublished bool) {
	if !s.active(now) {
		*s = standing{since: t, unpublished: true}
	}
	s.since = min(s.since, t)
	if !slices.Contains(s.rules, r) {
		s.rules = append(s.rules, r)
	}
	if s.lead == nil || until > s.until {
		s.lead, s.reason, s.until = r, reason, until
	}
	s.unpublished = s.unpublished && unpublished
}

// enforced gives the entry of a subject, nil if there is none.
func (e *Engine) enforced(k key) *enforcement {
	if e.filter.held == 0 || !e.filter.perhaps(k) {
		return nil
	}
	return e.shardOf(k).bans.subjects[k]
}

// covers says whether an event at t is under a ban.
func (s *enforcement) covers(t int64) bool {
	if s == nil {
		return false
	}
	for _, i := range s.banned {
		if i.from <= t && t <= i.until {
			return true
		}
	}
	return false
}

func (f *banFilter) perhaps(k key) bool {
	i := filterBit(k)
	return f.bits[i/64]>>(i%64)&1 != 0
}

func (f *banFilter) add(k key) {
	f.held++
	f.set(k)
}

func (f *banFilter) set(k key) {
	i := filterBit(k)
	f.bits[i/64] |= 1 << (i % 64)
}

// filterBit gives the bit of a subject in the filter; a collision costs a look-up.
func filterBit(k key) uint64 { return (k[0] ^ k[1]) * 0x9e3779b97f4a7c15 >> 48 }

// enforcementOf gives the entry of a subject, making it if need be.
func (e *Engine) enforcementOf(k key) *enforcement {
	b := &e.shardOf(k).bans
	s := b.subjects[k]
	if s == nil {
		s = &enforcement{key: k}
		e.keep(b, s)
	}
	return s
}

// keep puts a subject's entry in.
func (e *Engine) keep(b *bans, s *enforcement) {
	if b.subjects == nil {
		b.subjects = make(map[key]*enforcement)
	}
	b.subjects[s.key] = s
	e.filter.add(s.key)
}

// generation says how often a grouped rule with reset_on_ban was reset for a subject.
// The answer is part of the keys of records that are in use until then at least.
func (e *Engine) generation(k key, r *rule, until int64) uint32 {
	s := e.enforced(k)
	if s == nil || s.generations[r] == 0 {
		return 0
	}
	s.keepUntil = max(s.keepUntil, until)
	return s.generations[r]
}

// banBytes is about what an entry and its ending hold.
const banBytes = 360

// bytes estimates what the entries hold.
func (b *bans) bytes() int64 { return int64(len(b.subjects)) * banBytes }

// banFor gives how long a ban by r at t lasts, and the how-manyth of the subject it is.
func (s *enforcement) banFor(r *rule, t int64, e *Escalation) (duration int64, nth int) {
	switch {
	case s.ban.active(t) && s.ban.since <= t:
		nth = max(1, s.bans)
	case e != nil && s.bans > 0 && t-s.lastEnd > e.Decay:
		nth = 1
	default:
		nth = s.bans + 1
	}
	if e == nil {
		return r.BanFor, nth
	}
	longer := float64(r.BanFor) * math.Pow(e.Factor, float64(nth-1))
	return int64(math.Round(min(longer, float64(e.Max)))), nth
}

// under adds a ban's event times.
func (s *enforcement) under(t, until, watermark int64) {
	merged := interval{t, until}
	s.banned = slices.DeleteFunc(s.banned, func(i interval) bool {
		if i.until < watermark {
			return true
		}
		if i.from <= merged.until && merged.from <= i.until {
			merged = interval{min(i.from, merged.from), max(i.until, merged.until)}
			return true
		}
		return false
	})
	s.banned = append(s.banned, merged)
}

// value gives what the ban topic should say of the subject, if anything.
func (s *enforcement) value(now int64) (schemas.Ban, bool) {
	ban, throttle := s.ban.active(now) && !s.ban.unpublished, s.throttle.active(now)
	if !ban && !throttle {
		return schemas.Ban{}, false
	}
	lead, action := &s.throttle, schemas.ActionThrottle
	rules := s.throttle.rules
	if ban {
		lead, action = &s.ban, schemas.ActionBan
		rules = s.ban.rules
		if throttle {
			rules = append(slices.Clone(rules), s.throttle.rules...)
		}
	}
	v := schemas.Ban{
		Scope: s.scope, Value: s.name, Action: action, Reason: lead.reason, Message: lead.lead.Message,
		Since: schemas.Micros(lead.since), ExpiresAt: schemas.Micros(lead.until),
	}
	if action == schemas.ActionThrottle {
		v.RetryAfterS = retryAfter(lead.lead)
	}
	for _, r := range rules {
		v.RuleIDs = append(v.RuleIDs, r.ID)
	}
	slices.Sort(v.RuleIDs)
	v.RuleIDs = slices.Compact(v.RuleIDs)
	return v, true
}

// ending is a moment after which something of a subject has ended.
type ending struct {
	until int64
	key   key
}

// next gives the first moment after t at which something of the subject ends.
func (s *enforcement) next(t int64) (int64, bool) {
	first := int64(math.MaxInt64)
	for _, m := range [3]int64{s.ban.until, s.throttle.until, s.keepUntil} {
		if m > t {
			first = min(first, m)
		}
	}
	return first, first != math.MaxInt64
}

// endHeap has the next ending first; those of one instant are in the order of the keys,
// which a restored engine has too.
type endHeap []ending

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, j int) bool { return h.before(h[i], h[j]) }
func (endHeap) before(a, b ending) bool {
	return cmp.Or(cmp.Compare(a.until, b.until), a.key.compare(b.key)) < 0
}
func (h endHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *endHeap) Push(x any)   { *h = append(*h, x.(ending)) }
func (h *endHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// endBans publishes what has ended by now, in the order of the ends.
func (e *Engine) endBans() {
	for {
		var b *bans
		e.nextEnd = math.MaxInt64
		for i := range e.shards {
			if ends := e.shards[i].bans.ends; len(ends) > 0 && (b == nil || ends.before(ends[0], b.ends[0])) {
				b, e.nextEnd = &e.shards[i].bans, ends[0].until
			}
		}
		if e.nextEnd >= e.clock.newest {
			return
		}
		ended := heap.Pop(&b.ends).(ending)
		s := b.subjects[ended.key]
		if s == nil || s.queued != ended.until {
			continue // an earlier ending took this one's place
		}
		if s.shown != nil && int64(s.shown.ExpiresAt) <= ended.until {
			e.show(s)
		}
		s.queued = 0
		if !e.queue(b, s, ended.until) {
			e.forget(b, s.key)
		}
	}
}

// queue puts the subject's first ending after t into the heap, if it has one.
func (e *Engine) queue(b *bans, s *enforcement, t int64) bool {
	next, ok := s.next(t)
	if ok && (s.queued == 0 || next < s.queued) {
		s.queued = next
		e.await(b, s)
	}
	return ok
}

// await puts the subject's next ending into the heap.
func (e *Engine) await(b *bans, s *enforcement) {
	heap.Push(&b.ends, ending{until: s.queued, key: s.key})
	e.nextEnd = min(e.nextEnd, s.queued)
}

// show brings the ban topic in line with what is in force for a subject.
func (e *Engine) show(s *enforcement) {
	v, ok := s.value(e.clock.newest)
	switch {
	case ok && s.shown != nil && s.shown.Action == v.Action && s.shown.ExpiresAt == v.ExpiresAt && slices.Equal(s.shown.RuleIDs, v.RuleIDs):
	case ok:
		e.changes = append(e.changes, schemas.BanChange{Ban: v})
		s.shown = &v
	case s.shown != nil:
		e.changes = append(e.changes, schemas.BanChange{Ban: schemas.Ban{Scope: s.scope, Value: s.name}, End: true})
		s.shown = nil
	}
}

// forget drops a subject's entry, and makes the filter anew once it is mostly of
// forgotten ones.
func (e *Engine) forget(b *bans, k key) {
	delete(b.subjects, k)
	f := &e.filter
	f.held--
	if f.dropped++; f.dropped <= f.held+64 {
		return
	}
	f.dropped = 0
	clear(f.bits[:])
	for i := range e.shards {
		for k := range e.shards[i].bans.subjects {
			f.set(k)
		}
	}
}
