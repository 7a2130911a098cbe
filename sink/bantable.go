package sink

import (
	"maps"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// foreignGrace is how much longer than its end a value of another writer is left
// alone: its writer should be the one to end it.
const foreignGrace = 2_000_000 // µs

// banTable is what is known of the ban topic and what belongs there, by key. It
// has no I/O and no clock: now is µs since 1970.
type banTable struct {
	entries map[string]*banEntry
	held    int   // entries of which the topic holds a value
	due     int64 // no value ends before this instant
}

// banEntry is one subject. What belongs on the topic is the merger of what our
// partitions enforce and of the last value that somebody else wrote: that writer had
// reasons of its own, or is us before a restart.
type banEntry struct {
	own     map[int32]schemas.Ban // by partition of the input
	foreign *schemas.Ban          // nil: nothing, or a tombstone
	topic   *schemas.Ban          // what the topic holds; nil: nothing, or a tombstone
	ours    bool                  // topic was written by us
	offset  int64                 // of topic
}

func newBanTable() *banTable {
	return &banTable{entries: make(map[string]*banEntry)}
}

// keys gives every key of the table.
func (t *banTable) keys() []string { return slices.Collect(maps.Keys(t.entries)) }

func (t *banTable) entry(key string) *banEntry {
	e := t.entries[key]
	if e == nil {
		e = &banEntry{offset: -1}
		t.entries[key] = e
	}
	return e
}

// read takes a record of the topic, in the topic's order. A nil ban is a tombstone.
func (t *banTable) read(key string, ban *schemas.Ban, offset int64, ours bool) {
	e := t.entry(key)
	if !ours {
		e.foreign = ban
	}
	if offset > e.offset {
		t.hold(e, ban, offset, ours)
	}
	t.soon(ban)
}

// wrote takes what we have written and what is acknowledged.
func (t *banTable) wrote(key string, ban *schemas.Ban, offset int64) {
	if e := t.entry(key); offset > e.offset {
		t.hold(e, ban, offset, true)
	}
}

func (t *banTable) hold(e *banEntry, ban *schemas.Ban, offset int64, ours bool) {
	if e.topic != nil {
		t.held--
	}
	if ban != nil {
		t.held++
	}
	e.topic, e.offset, e.ours = ban, offset, ours
}

// change takes what a partition of ours has decided.
func (t *banTable) change(partition int32, c schemas.BanChange) string {
	key := schemas.BanKey(c.Ban.Scope, c.Ban.Value)
	e := t.entry(key)
	if c.End {
		delete(e.own, partition)
		return key
	}
	if e.own == nil {
		e.own = make(map[int32]schemas.Ban, 1)
	}
	ban := c.Ban
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
	key string
	ban *schemas.Ban
}

// settle drops what has ended by now and says what has to be written for key, if
// anything. It writes a tombstone only where what the topic holds has ended.
func (t *banTable) settle(key string, now int64) (banWrite, bool) {
	e := t.entries[key]
	if e == nil {
		return banWrite{}, false
	}
	var want *schemas.Ban
	for p, ban := range e.own {
		if ended(&ban, now) {
			delete(e.own, p)
			continue
		}
		want = mergedWith(want, ban)
	}
	if e.foreign != nil && ended(e.foreign, now) {
		if want == nil && e.topic != nil && !e.ours && !ended(e.foreign, now-foreignGrace) {
			return banWrite{}, false // its writer comes first
		}
		e.foreign = nil
	}
	if e.foreign != nil {
		if want == nil && !e.ours {
			return banWrite{}, false // not ours to change
		}
		want = mergedWith(want, *e.foreign)
	}
	switch {
	case want == nil && e.topic == nil:
		delete(t.entries, key)
		return banWrite{}, false
	case want == nil:
		return banWrite{key: key}, true
	case e.topic != nil && sameBan(*want, *e.topic):
		return banWrite{}, false
	}
	return banWrite{key: key, ban: want}, true
}

// ending gives the keys of entries in which something may have ended by now.
func (t *banTable) ending(now int64) []string {
	if now <= t.due {
		return nil
	}
	var keys []string
	t.due = 1<<63 - 1
	for key, e := range t.entries {
		over := e.topic == nil && e.foreign == nil && len(e.own) == 0
		for _, ban := range e.own {
			over = over || ended(&ban, now)
			t.soon(&ban)
		}
		for _, ban := range []*schemas.Ban{e.foreign, e.topic} {
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

// mergeBans gives the stronger action, the later end, the earlier beginning and all
// rule ids. The texts are those of the stronger action, then of the later end. It
// does not depend on the order of its arguments, and merging a merger with one of
// its parts changes nothing: so writers who merge what they read come to rest.
func mergeBans(a, b schemas.Ban) schemas.Ban {
	if weaker(a, b) {
		a, b = b, a
	}
	a.ExpiresAt = max(a.ExpiresAt, b.ExpiresAt)
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
