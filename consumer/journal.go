package consumer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// journal is what decides the verdicts of a partition and is not in its log: each
// change stands with the offset from which it holds. Its owner writes it, as a piece
// of the state topic, and waits for the acknowledgement before it judges that offset.
// So whoever reads the log again decides the same.
type journal struct {
	// Of the writing: what is newer by generation, then by sequence, holds. Each owner
	// has a generation larger than that of the journal it found.
	Generation uint64 `json:"generation"`
	Sequence   uint64 `json:"sequence"`

	Shards  int                        `json:"shards"`
	Seed    [2]uint64                  `json:"seed"`
	Entries []entry                    `json:"entries"`         // by offset, the first one is begin
	Rules   map[string]detector.Source `json:"rules,omitempty"` // by Program.Hash

	// Closed is where the last owner stopped, if it had the time to say so: nobody has judged
	// the record at this offset, or one behind it. nil: an owner is at work, or was when it
	// crashed.
	Closed *int64 `json:"closed,omitempty"`

	// Controls says, by partition of the control topic, which manual changes are among the
	// entries, or were before they were folded.
	Controls map[int32]controlMark `json:"controls"`
}

// entryKind says what an entry changes.
type entryKind string

const (
	entryBegin   entryKind = "begin"   // counting begins, with rules and bounds
	entryRules   entryKind = "rules"   // other rules
	entryBound   entryKind = "bound"   // other bounds
	entryControl entryKind = "control" // a person's change
)

// entry is a change that takes effect before the record at Offset.
type entry struct {
	ID         uint64         `json:"id"` // snapshots name the last entry that they contain
	Offset     int64          `json:"offset"`
	Kind       entryKind      `json:"kind"`
	Rules      string         `json:"rules,omitempty"` // hash; of begin and rules
	Bound      *bound         `json:"bound,omitempty"` // of begin and bound
	Control    *manualChange  `json:"control,omitempty"`
	At         schemas.Micros `json:"at"` // when it was written
	Generation uint64         `json:"generation"`
}

// bound is what one shard may hold.
type bound struct {
	Bytes     int64 `json:"bytes"`
	Endpoints int   `json:"endpoints"`
}

// manualChange is a record of the control topic.
type manualChange struct {
	Scope     schemas.Scope   `json:"scope"`
	Value     string          `json:"value"`
	Change    schemas.Control `json:"change"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
}

// control gives the change with its subject, which a record has in its key.
func (m *manualChange) control() schemas.Control {
	c := m.Change
	c.Scope, c.Value = m.Scope, m.Value
	return c
}

// subject tells whom the change is about.
func (m *manualChange) subject() string { return schemas.BanKey(m.Scope, m.Value) }

// lasts reports whether the change still does something after an instant.
func (m *manualChange) lasts(after schemas.Micros) bool {
	if m.Change.Op != schemas.OpBan && m.Change.Op != schemas.OpExempt {
		return false
	}
	until := m.Change.Until()
	return until == 0 || until > after
}

// journalSlots is how many slots the journal of a partition has: two of an owner, so
// that one is whole while the other is written over, and four owners in a row do not
// write over each other, however late they wake up.
const journalSlots = 8

// slot is where the journal is written.
func (j *journal) slot() int { return int((j.Generation*2 + j.Sequence%2) % journalSlots) }

func (j *journal) newer(than *journal) bool {
	if j.Generation != than.Generation {
		return j.Generation > than.Generation
	}
	return j.Sequence > than.Sequence
}

func (j *journal) begin() int64 { return j.Entries[0].Offset }

func (j *journal) last() *entry { return &j.Entries[len(j.Entries)-1] }

// pieces is how many pieces the state is copied in: its shards and, as the last one, the
// summaries of buckets that are open.
func (j *journal) pieces() int { return j.Shards + 1 }

// inForce gives the hash of the rules and the bound after the first n entries.
func (j *journal) inForce(n int) (rules string, b bound) {
	for _, e := range j.Entries[:n] {
		if e.Rules != "" {
			rules = e.Rules
		}
		if e.Bound != nil {
			b = *e.Bound
		}
	}
	return rules, b
}

// before is how many entries precede what changes at an offset. The journal begins in
// any case.
func (j *journal) before(offset int64) int {
	n := 1
	for n < len(j.Entries) && j.Entries[n].Offset < offset {
		n++
	}
	return n
}

// mostAhead is how many records an owner is thought to have judged behind what it had
// committed, at most. It commits each second what a turn has finished, and a turn has no
// more than detectPoll.
const mostAhead = 4 << 20

// untouched gives the first offset that no owner of the past has judged, of a log that
// has an end, when what comes before done is known to be finished. Of one that crashed
// it is only known that it had read no further than that end.
func (j *journal) untouched(done, end int64) int64 {
	if j.Closed != nil {
		return min(*j.Closed, end)
	}
	return min(done+mostAhead, end)
}

// contains says whether a snapshot is of this journal's past that names id as its last
// entry. That of an owner that did not know that it was none any more is not.
func (j *journal) contains(id uint64, next int64) bool {
	i := slices.IndexFunc(j.Entries, func(e entry) bool { return e.ID == id })
	return i >= 0 && j.Entries[i].Offset <= next && (i+1 == len(j.Entries) || j.Entries[i+1].Offset >= next)
}

// fold forgets what no record from the offset before on needs to know: changes of
// rules and bounds that others have followed, and manual changes that others have
// replaced or that ended before the instant ended. No snapshot in use was taken at an
// earlier offset.
func (j *journal) fold(before int64, ended schemas.Micros) {
	n := 0
	for n < len(j.Entries) && j.Entries[n].Offset < before {
		n++
	}
	if n < 2 {
		return
	}
	begin := j.Entries[0]
	rules, b := j.inForce(n)
	begin.Rules, begin.Bound = rules, &b
	newest := make(map[string]int) // by subject
	for i, e := range j.Entries[:n] {
		if e.Kind == entryControl {
			newest[e.Control.subject()] = i
		}
	}
	kept := []entry{begin}
	for i, e := range j.Entries[:n] {
		if e.Kind == entryControl && newest[e.Control.subject()] == i && e.Control.lasts(ended) {
			kept = append(kept, e)
		}
	}
	kept[len(kept)-1].ID = j.Entries[n-1].ID // snapshots may name it
	j.Entries = append(kept, j.Entries[n:]...)
	j.forgetRules()
}

// forgetRules drops the text of rules that no entry names.
func (j *journal) forgetRules() {
	for hash := range j.Rules {
		if !slices.ContainsFunc(j.Entries, func(e entry) bool { return e.Rules == hash }) {
			delete(j.Rules, hash)
		}
	}
}

// encode gives the journal as it is written.
func (j *journal) encode() []byte {
	b, err := json.Marshal(j)
	if err != nil {
		panic(err) // strings and numbers alone
	}
	return b
}

// decodeJournal reads a journal.
func decodeJournal(b []byte) (*journal, error) {
	j := new(journal)
	if err := json.Unmarshal(b, j); err != nil {
		return nil, fmt.Errorf("decoding the journal: %w", err)
	}
	switch {
	case len(j.Entries) == 0 || j.Entries[0].Kind != entryBegin || j.Entries[0].Bound == nil:
		return nil, errors.New("the journal does not begin")
	case j.Shards < 1 || j.Shards > 256 || j.Shards&(j.Shards-1) != 0:
		return nil, fmt.Errorf("the journal has %d shards", j.Shards)
	}
	last := int64(0)
	for _, e := range j.Entries {
		if e.Offset < last {
			return nil, fmt.Errorf("the journal goes from offset %d back to %d", last, e.Offset)
		}
		if e.Kind == entryControl && e.Control == nil {
			return nil, fmt.Errorf("the journal's change at offset %d does not say what changes", e.Offset)
		}
		last = e.Offset
	}
	return j, nil
}
