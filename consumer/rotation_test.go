package consumer

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/sink"
)

// TestEachShardOnceInAnInterval: whatever the turns are like, each shard's turn comes
// once in an interval, evenly.
func TestEachShardOnceInAnInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const interval = time.Minute
		shards := rapid.SampledFrom([]int{1, 8, 64, 256}).Draw(t, "shards")
		now := time.Unix(1000, 0)
		r := newRotation(shards, interval, 0, now)
		seen := make([]int, shards)
		for end := now.Add(5 * interval); now.Before(end); {
			now = now.Add(time.Duration(rapid.Int64Range(1e6, 2e9).Draw(t, "turn")))
			for range r.due(now) {
				seen[r.pass()]++
			}
		}
		for shard, n := range seen {
			if n < 4 || n > 6 {
				t.Fatalf("shard %d came %d times in five intervals", shard, n)
			}
		}
	})
}

func TestALongTurnIsNotMadeUpFor(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newRotation(4, time.Minute, 0, now)
	now = now.Add(time.Hour)
	if n := r.due(now); n != 4 {
		t.Errorf("%d shards are due after an hour, want each once", n)
	}
	r.catchUp(now)
	for range r.due(now) {
		r.pass()
	}
	if n := r.due(now); n != 0 {
		t.Errorf("%d shards are due again at once", n)
	}
}

// TestSlots: what is needed is never written over before something newer stands.
func TestSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRotation(1, time.Minute, 5, time.Unix(0, 0))
		s := &r.shards[0]
		first, id := int64(10), uint64(1)
		for range rapid.IntRange(1, 300).Draw(t, "copies") {
			whole, piece, parts := r.plan(0)
			if s.whole.id != 0 && piece.Slot == s.whole.slot || s.changes.id != 0 && piece.Slot == s.changes.slot {
				t.Fatalf("slot %d is written over, which is needed", piece.Slot)
			}
			if whole != (piece.Base == 0) || whole != (piece.Slot < wholeSlots) || piece.Base != 0 && piece.Base != s.whole.id {
				t.Fatalf("whole %v, but it is planned as %+v", whole, piece)
			}
			if parts != s.parts[piece.Slot] {
				t.Fatalf("its predecessor had %d parts, want %d", parts, s.parts[piece.Slot])
			}
			if from := r.from(-1); s.whole.id != 0 && from > s.whole.first || from > first {
				t.Fatalf("reading begins at %d, behind what is needed", from)
			}
			if rapid.IntRange(0, 9).Draw(t, "fails") == 0 {
				s.heavy = true
				continue
			}
			s.flying = true
			renewed := rapid.IntRange(0, 9).Draw(t, "renewed") == 0
			if renewed {
				r.renew()
			}
			s.flying = false
			encoded := rapid.IntRange(0, 100).Draw(t, "bytes")
			if whole {
				encoded = 100
			}
			piece.Next = first
			r.landed(&piece, sink.WrittenPiece{ID: id, First: first, Parts: 1 + encoded/50}, encoded, time.Unix(first, 0))
			if s.heavy != (renewed || !whole && encoded > 50) {
				t.Fatalf("after changes of %d bytes, renewed %v, the next copy is whole: %v", encoded, renewed, s.heavy)
			}
			first += 3
			id++
		}
		if s.copies > wholeEvery {
			t.Fatalf("%d copies of changes in a row", s.copies)
		}
	})
}
