package sink

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// foreignGrace is how much longer than its end a value of another writer is left
// alone: its writer should be the one to end it.
const foreignGrace = 2_000_000 // µs

// banTable is what is known of the ban topic and what belongs there, by key. It
// has no I/O and no clock: now is µs since 1970.
type banTable struct {
	entries map[string]*banEntry
	manual  manualTable
	held    int   // entries of which the topic holds a value
	due     int64 // no value ends before this instant
}

// banEntry is one subject. What belongs on the topic is the merger of what our
// partitions enforce, of the last value that somebody else wrote (that writer had
// reasons of its own, or is us before a restart), and of a ban by hand. An exemption
// by hand hides all of it, and an unban ends what is older.
type banEntry struct {
	own     map[int32]schemas.Ban // by partition of the input
	foreign *schemas.Ban          // by rules; nil: nothing, or a tombstone
	topic   *banValue             // what the topic holds; nil: nothing, or a tombstone
	ours    bool                  // topic was written by us
	offset  int64                 // of topic
}

// banValue is a value of the ban topic. Every writer knows itself what people have
// banned, so that part of a value is nobody's reason: it is told apart from what rules
// have decided, which would else outlive a change by hand.
type banValue struct {
	ban    schemas.Ban
	byHand bool
	rules  *schemas.Ban // byHand: what rules have decided, nil for nothing
}

// byRules gives what rules have decided.
func (v *banValue) byRules() *schemas.Ban {
	switch {
	case v == nil:
		return nil
	case v.byHand:
		return v.rules
	default:
		return &v.ban
	}
}

func newBanTable() *banTable {
	return &banTable{entries: make(map[string]*banEntry), manual: newManualTable()}
}

// keys gives every key of the table.
func (t *banTable) keys() []string {
	keys := make([]string, 0, len(t.entries)+len(t.manual.said))
	for key := range t.entries {
		keys = append(keys, key)
	}
	for key := range t.manual.said {
		keys = append(keys, key)
	}
	return keys
}

func (t *banTable) entry(key string) *banEntry {
	e := t.entries[key]
	if e == nil {
		e = &banEntry{offset: -1}
		t.entries[key] = e
	}
	return e
}

// read takes a record of the topic, in the topic's order. A nil value is a tombstone.
func (t *banTable) read(key string, v *banValue, offset int64, ours bool) {
	e := t.entry(key)
	if !ours {
		e.foreign = v.byRules()
	}
	if offset > e.offset {
		t.hold(e, v, offset, ours)
	}
	if v != nil {
		t.soon(&v.ban)
		t.soon(v.byRules())
	}
}

// wrote takes what we have written and what is acknowledged.
func (t *banTable) wrote(key string, v *banValue, offset int64) {
	if e := t.entry(key); offset > e.offset {
		t.hold(e, v, offset, true)
	}
}

func (t *banTable) hold(e *banEntry, v *banValue, offset int64, ours bool) {
	if e.topic != nil {
		t.held--
	}
	if v != nil {
		t.held++
	}
	e.topic, e.offset, e.ours = v, offset, ours
}

// control takes what a person has changed, in the control topic's order, and gives
// the keys for which something else may belong on the topic now.
func (t *banTable) control(c schemas.Control) []string {
	key := t.manual.take(c)
	if until := c.Until(); until != 0 {
		t.due = min(t.due, int64(until))
	}
	if e := t.entries[key]; e != nil {
		for p, ban := range e.own {
			if t.manual.over(key, &ban) {
				delete(e.own, p)
			}
		}
	}
	return t.touched(t.manual.said[key])
}

// touched gives the keys to which a change by hand may matter: its subject's, and
// those of others with the same addresses, for it may begin or end an exemption.
func (t *banTable) touched(s manualSaid) []string {
	keys := []string{schemas.BanKey(s.newest.Scope, s.newest.Value)}
	if !s.prefix.IsValid() {
		return keys
	}
	for _, key := range t.keys() {
		if p, ok := prefixOf(key); ok && p.Overlaps(s.prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

// prefixOf gives the addresses of a subject by its key.
func prefixOf(key string) (netip.Prefix, bool) {
	scope, value, _ := strings.Cut(key, ":")
	return schemas.SubjectPrefix(schemas.Scope(scope), value)
}

// change takes what a partition of ours has decided.
func (t *banTable) change(partition int32, c schemas.BanChange) string {
	key := schemas.BanKey(c.Ban.Scope, c.Ban.Value)
	e := t.entry(key)
	if c.End {
		delete(e.own, partition)
		return key
	}
	ban := c.Ban
	if t.manual.over(key, &ban) {
		delete(e.own, partition) // decided before a person ended it
		return key
	}
	if e.own == nil {
		e.own = make(map[int32]schemas.Ban, 1)
	}
	ban.RuleIDs = sortedIDs(ban.RuleIDs)
	ban.Reason, ban.Message = cutText(ban.Reason), cutText(ban.Message)
	e.own[partition] = ban
	t.soon(&ban)
	return key
}

// enforce takes all that a partition of ours enforces, and gives the keys of it and of
// what it was known to enforce.
func (t *banTable) enforce(partition int32, bans []schemas.Ban) []string {
	var keys []string
	for key, e := range t.entries {
		if _, ok := e.own[partition]; ok {
			delete(e.own, partition)
			keys = append(keys, key)
		}
	}
	for _, ban := range bans {
		keys = append(keys, t.change(partition, schemas.BanChange{Ban: ban}))
	}
	return keys
}

// forget gives up a partition: what it enforced stays on the topic until its end,
// like the value of any other writer.
func (t *banTable) forget(partition int32) {
	for _, e := range t.entries {
		if ban, ok := e.own[partition]; ok {
			delete(e.own, partition)
			if e.foreign != nil {
				ban = mergeBans(*e.foreign, ban)
			}
			e.foreign = &ban
		}
	}
}

// banWrite is what has to be written for a key: a value, or nil for a tombstone.
type banWrite struct {
	key   string
	value *banValue
}

// settle drops what has ended by now and says what has to be written for key, if
// anything. It writes a tombstone only where what the topic holds has ended, by the
// clock or by hand.
func (t *banTable) settle(key string, now int64) (banWrite, bool) {
	manual, exempt := t.manual.ban(key, now), t.manual.exempts(key, now)
	if exempt {
		manual = nil
	}
	e := t.entries[key]
	if e == nil {
		if manual == nil {
			return banWrite{}, false
		}
		e = t.entry(key)
	}
	var rules *schemas.Ban
	for p, ban := range e.own {
		switch {
		case ended(&ban, now):
			delete(e.own, p)
		case !exempt:
			rules = mergedWith(rules, ban)
		}
	}
	if e.foreign != nil && (exempt || t.manual.over(key, e.foreign)) {
		e.foreign = nil
	}
	if e.foreign != nil && ended(e.foreign, now) {
		if rules == nil && manual == nil && e.topic != nil && !e.ours && !e.topic.byHand && !ended(e.foreign, now-foreignGrace) {
			return banWrite{}, false // its writer comes first
		}
		e.foreign = nil
	}
	if e.foreign != nil {
		if rules == nil && manual == nil && !e.ours && (e.topic == nil || !e.topic.byHand) {
			return banWrite{}, false // not ours to change
		}
		rules = mergedWith(rules, *e.foreign)
	}
	want := wanted(rules, manual)
	switch {
	case want == nil && e.topic == nil:
		if len(e.own) == 0 {
			delete(t.entries, key)
		}
		return banWrite{}, false
	case want == nil:
		return banWrite{key: key}, true
	case e.topic != nil && sameValue(want, e.topic):
		return banWrite{}, false
	}
	return banWrite{key: key, value: want}, true
}

// wanted gives the value for what rules and a person ask for, nil for nothing.
func wanted(rules, manual *schemas.Ban) *banValue {
	switch {
	case manual != nil:
		return &banValue{ban: *mergedWith(rules, *manual), byHand: true, rules: rules}
	case rules != nil:
		return &banValue{ban: *rules}
	default:
		return nil
	}
}

func sameValue(a, b *banValue) bool {
	if a.byHand != b.byHand || !sameBan(a.ban, b.ban) {
		return false
	}
	ra, rb := a.byRules(), b.byRules()
	return ra == rb || ra != nil && rb != nil && sameBan(*ra, *rb)
}

// ending gives the keys of entries in which something may have ended by now.
func (t *banTable) ending(now int64) []string {
	if now <= t.due {
		return nil
	}
	var keys []string
	lapsed, next := t.manual.lapsing(now)
	for _, s := range lapsed {
		keys = append(keys, t.touched(s)...)
	}
	t.due = next
	for key, e := range t.entries {
		over := e.topic == nil && e.foreign == nil && len(e.own) == 0
		for _, ban := range e.own {
			over = over || ended(&ban, now)
			t.soon(&ban)
		}
		bans := [2]*schemas.Ban{e.foreign}
		if e.topic != nil {
			bans[1] = &e.topic.ban
		}
		for _, ban := range bans {
			over = over || ban != nil && ended(ban, now)
			t.soon(ban)
		}
		if over {
			keys = append(keys, key)
		}
	}
	return keys
}

func (t *banTable) soon(ban *schemas.Ban) {
	if ban != nil {
		t.due = min(t.due, int64(ban.ExpiresAt))
	}
}

// reset forgets what the topic held: it was created anew.
func (t *banTable) reset() {
	for _, e := range t.entries {
		e.foreign, e.topic, e.offset, e.ours = nil, nil, -1, false
	}
	t.held = 0
}

// ended: a ban is active up to and including its end.
func ended(b *schemas.Ban, now int64) bool { return now > int64(b.ExpiresAt) }

func mergedWith(have *schemas.Ban, b schemas.Ban) *schemas.Ban {
	if have != nil {
		b = mergeBans(*have, b)
	}
	return &b
}

// mergeBans gives the stronger action, the later of its ends, the earlier beginning and
// all rule ids. A throttle does not make a ban last longer: whoever enforces it says so
// again once the ban is over. The texts are those of the stronger action, then of the
// later end. It does not depend on the order of its arguments, and merging a merger with
// one of its parts changes nothing: so writers who merge what they read come to rest.
func mergeBans(a, b schemas.Ban) schemas.Ban {
	if weaker(a, b) {
		a, b = b, a
	}
	if a.Action == b.Action {
		a.ExpiresAt = max(a.ExpiresAt, b.ExpiresAt)
	}
	a.Since = min(a.Since, b.Since)
	a.RuleIDs = sortedIDs(append(slices.Clip(a.RuleIDs), b.RuleIDs...))
	return a
}

func weaker(a, b schemas.Ban) bool {
	if a.Action != b.Action {
		return a.Action != schemas.ActionBan
	}
	if a.ExpiresAt != b.ExpiresAt {
		return a.ExpiresAt < b.ExpiresAt
	}
	if ra, rb := retryAfter(a), retryAfter(b); ra != rb {
		return ra < rb
	}
	if a.Reason != b.Reason {
		return a.Reason < b.Reason
	}
	return a.Message < b.Message
}

func retryAfter(b schemas.Ban) int64 {
	if b.RetryAfterS == nil {
		return -1
	}
	return *b.RetryAfterS
}

func sameBan(a, b schemas.Ban) bool {
	return a.Action == b.Action && a.ExpiresAt == b.ExpiresAt && a.Since == b.Since && retryAfter(a) == retryAfter(b) &&
		a.Reason == b.Reason && a.Message == b.Message && slices.Equal(sortedIDs(a.RuleIDs), sortedIDs(b.RuleIDs))
}

func sortedIDs(ids []string) []string {
	if slices.IsSorted(ids) {
		return slices.Compact(slices.Clone(ids))
	}
	out := slices.Clone(ids)
	slices.Sort(out)
	return slices.Compact(out)
}
