package consumer

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// aJournal has a change of rules, of bounds and by a person, and a manual ban that
// ended long ago.
func aJournal() *journal {
	manual := func(value string, op schemas.Op, at schemas.Micros) *manualChange {
		return &manualChange{Scope: schemas.ScopeIP, Value: value, Change: schemas.Control{Op: op, By: "me", At: at}, Offset: 3}
	}
	return &journal{
		Generation: 3, Sequence: 7, Shards: 4, Seed: [2]uint64{1, 1<<63 + 1},
		Entries: []entry{
			{ID: 10, Offset: 100, Kind: entryBegin, Rules: "a", Bound: &bound{1000, 10}},
			{ID: 11, Offset: 200, Kind: entryControl, Control: manual("192.0.2.1", schemas.OpExempt, 5e6)},
			{ID: 12, Offset: 300, Kind: entryRules, Rules: "b"},
			{ID: 13, Offset: 300, Kind: entryBound, Bound: &bound{2000, 20}},
			{ID: 14, Offset: 400, Kind: entryControl, Control: manual("192.0.2.2", schemas.OpBan, 6e6)},
			{ID: 15, Offset: 500, Kind: entryControl, Control: manual("192.0.2.1", schemas.OpUnexempt, 9e12)},
		},
		Rules: map[string]detector.Source{"a": {{Name: "a.yaml", Text: "version: 1"}}, "b": {{Name: "b.yaml", Text: "version: 1 # b"}}},
	}
}

func TestJournalComesBack(t *testing.T) {
	j := aJournal()
	back, err := decodeJournal(j.encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(j, back); diff != "" {
		t.Error(diff)
	}
	if c := back.Entries[1].Control.control(); c.Scope != schemas.ScopeIP || c.Value != "192.0.2.1" || c.Op != schemas.OpExempt {
		t.Errorf("the manual change comes back as %+v", c)
	}
}

func TestJournalsThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no entries": `{"shards":4}`, "no beginning": `{"shards":4,"entries":[{"kind":"rules","offset":1}]}`,
		"no shards":         `{"entries":[{"kind":"begin","bound":{}}]}`,
		"backwards":         `{"shards":4,"entries":[{"kind":"begin","bound":{},"offset":5},{"kind":"rules","offset":4}]}`,
		"a change of what?": `{"shards":4,"entries":[{"kind":"begin","bound":{}},{"kind":"control"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := decodeJournal([]byte(text)); err == nil {
				t.Error("it is taken")
			}
		})
	}
}

func FuzzJournal(f *testing.F) {
	f.Add(aJournal().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := decodeJournal(b)
		if err != nil {
			return
		}
		j.fold(1<<40, 0)
		if _, err := decodeJournal(j.encode()); err != nil {
			t.Errorf("folded, it cannot be read: %v", err)
		}
	})
}

func TestWhatHoldsBeforeAnOffset(t *testing.T) {
	j := aJournal()
	for _, c := range []struct {
		offset  int64
		entries int
		rules   string
		bytes   int64
	}{{100, 1, "a", 1000}, {300, 2, "a", 1000}, {301, 4, "b", 2000}, {1000, 6, "b", 2000}} {
		n := j.before(c.offset)
		rules, b := j.inForce(n)
		if n != c.entries || rules != c.rules || b.Bytes != c.bytes {
			t.Errorf("before %d hold %d entries, rules %s, %d bytes; want %+v", c.offset, n, rules, b.Bytes, c)
		}
	}
}

// TestSnapshotsOfAnotherPast: a snapshot contains what the journal says up to its
// offset, or it is of an owner that went on where it was none any more.
func TestSnapshotsOfAnotherPast(t *testing.T) {
	j := aJournal()
	for _, c := range []struct {
		id   uint64
		next int64
		want bool
	}{
		{10, 150, true}, {10, 200, true}, {10, 201, false}, {11, 200, true}, {11, 300, true}, {11, 301, false}, {12, 300, true},
		{12, 301, false}, {13, 300, true}, {13, 250, false}, {15, 9999, true}, {99, 150, false},
	} {
		if got := j.contains(c.id, c.next); got != c.want {
			t.Errorf("up to entry %d, at %d: %v, want %v", c.id, c.next, got, c.want)
		}
	}
}

func TestOwnersDoNotWriteOverEachOther(t *testing.T) {
	slots := make(map[int]uint64)
	for generation := range uint64(journalSlots / 2) {
		for sequence := range uint64(2) {
			j := journal{Generation: generation, Sequence: sequence}
			if was, taken := slots[j.slot()]; taken {
				t.Errorf("generations %d and %d share slot %d", was, generation, j.slot())
			}
			slots[j.slot()] = generation
		}
	}
	older, newer := &journal{Generation: 3, Sequence: 90}, &journal{Generation: 4, Sequence: 1}
	if older.newer(newer) || !newer.newer(older) || !(&journal{Generation: 4, Sequence: 2}).newer(newer) {
		t.Error("the newer journal is taken for the older one")
	}
}

func TestFolding(t *testing.T) {
	j := aJournal()
	j.fold(450, 4e9) // the ban of entry 14 lasts an hour
	var got []uint64
	for _, e := range j.Entries {
		got = append(got, e.ID)
	}
	if diff := cmp.Diff([]uint64{10, 14, 15}, got); diff != "" {
		t.Errorf("entries: %s", diff)
	}
	if _, ok := j.Rules["a"]; ok || len(j.Rules) != 1 {
		t.Errorf("rules %v are kept, want b alone", j.Rules)
	}
	// The ban has ended: only the exemption is kept, and has the last id.
	if e := j.Entries[1]; e.Control.Value != "192.0.2.1" {
		t.Errorf("kept is %+v", e.Control)
	}
	j.fold(1000, 4e9)
	if len(j.Entries) != 1 || j.Entries[0].ID != 15 || j.Entries[0].Rules != "b" || j.Entries[0].Bound.Bytes != 2000 {
		t.Errorf("folded to %+v", j.Entries)
	}
}

// TestFoldingChangesNothingThatIsAsked: whatever a record or a snapshot from the
// offset on asks a journal, it is told the same.
func TestFoldingChangesNothingThatIsAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := &journal{Shards: 1, Entries: []entry{{ID: 1, Kind: entryBegin, Rules: "r0", Bound: &bound{Bytes: 1}}}, Rules: map[string]detector.Source{"r0": nil}}
		at := int64(0)
		for i := range rapid.IntRange(0, 12).Draw(t, "entries") {
			at += rapid.Int64Range(0, 3).Draw(t, "distance")
			e := entry{ID: uint64(i + 2), Offset: at, Kind: rapid.SampledFrom([]entryKind{entryRules, entryBound, entryControl}).Draw(t, "kind")}
			switch e.Kind {
			case entryRules:
				e.Rules = rapid.SampledFrom([]string{"r0", "r1", "r2"}).Draw(t, "rules")
				j.Rules[e.Rules] = nil
			case entryBound:
				e.Bound = &bound{Bytes: int64(i)}
			case entryControl:
				e.Control = &manualChange{Scope: schemas.ScopeIP, Value: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "subject"),
					Change: schemas.Control{Op: rapid.SampledFrom([]schemas.Op{schemas.OpBan, schemas.OpExempt, schemas.OpUnban}).Draw(t, "op"), At: 1}}
			}
			j.Entries = append(j.Entries, e)
		}
		before := rapid.Int64Range(0, at+2).Draw(t, "before")
		folded := *j
		folded.Entries = append([]entry(nil), j.Entries...)
		folded.fold(before, 0)
		for next := before; next < at+3; next++ {
			rules, b := j.inForce(j.before(next))
			rulesNow, bNow := folded.inForce(folded.before(next))
			if rules != rulesNow || b != bNow {
				t.Fatalf("at %d hold %s, %v, folded %s, %v", next, rules, b, rulesNow, bNow)
			}
			for i, e := range j.Entries {
				if j.contains(e.ID, next) && !folded.contains(e.ID, next) {
					t.Fatalf("a snapshot at %d up to entry %d is refused once %d is folded", next, i, before)
				}
			}
		}
	})
}
