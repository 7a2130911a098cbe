package sink

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// stored gives the piece that values are, as if they had been read from offset 10 on.
func stored(s StateSlot, values [][]byte) (*StoredPiece, error) {
	parts, offsets := make(map[int]*part), make(map[int]int64)
	for i, v := range values {
		p, err := parsePart(v)
		if err != nil {
			return nil, err
		}
		parts[i], offsets[i] = p, int64(10+i)
	}
	return complete(s, parts, offsets), nil
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestPiecesComeBack(t *testing.T) {
	pk, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		piece := StatePiece{
			StateSlot: StateSlot{Shard: rapid.IntRange(-1, 255).Draw(t, "shard"), Slot: rapid.IntRange(0, 7).Draw(t, "slot")},
			ID:        rapid.Uint64().Draw(t, "id"), Base: rapid.Uint64().Draw(t, "base"), Entry: rapid.Uint64().Draw(t, "entry"),
			Next: rapid.Int64Min(0).Draw(t, "next"), From: rapid.Int64Min(0).Draw(t, "from"), Log: [16]byte{1, 2},
			Data: noise(rapid.IntRange(0, 5000).Draw(t, "length")),
		}
		most := rapid.IntRange(100, 6000).Draw(t, "most")
		values, err := pk.parts(&piece, most)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if len(v) > most+pieceHeader {
				t.Fatalf("a part has %d bytes, %d are the most", len(v), most+pieceHeader)
			}
		}
		got, err := stored(piece.StateSlot, values)
		if err != nil || got == nil {
			t.Fatalf("incomplete: %v", err)
		}
		if got.First != 10 || got.Parts != len(values) {
			t.Fatalf("it begins at %d and has %d parts, want 10 and %d", got.First, got.Parts, len(values))
		}
		data, err := got.Unpack([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, append([]byte("before"), piece.Data...)) {
			t.Fatal("the data differ")
		}
		got.Data = piece.Data
		if diff := cmp.Diff(piece, got.StatePiece); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestPiecesAreTakenWholeOrNotAtAll(t *testing.T) {
	pk, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	write := func(id uint64, n int) [][]byte {
		values, err := pk.parts(&StatePiece{ID: id, Data: noise(n)}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	whole, other, longer := write(1, 3000), write(2, 3000), write(3, 5000)
	changed := bytes.Clone(whole[2])
	changed[len(changed)-1]++
	for name, values := range map[string][][]byte{
		"none": nil, "first missing": {nil, whole[1]}, "last missing": whole[:len(whole)-1],
		"of two pieces":    {whole[0], other[1], whole[2], whole[3]},
		"of two lengths":   {longer[0], longer[1], whole[2], whole[3]},
		"in another order": {whole[1], whole[0], whole[2], whole[3]},
	} {
		t.Run(name, func(t *testing.T) {
			parts := make(map[int]*part)
			for i, v := range values {
				if v == nil {
					continue
				}
				p, err := parsePart(v)
				if err != nil {
					t.Fatal(err)
				}
				parts[i] = p
			}
			if complete(StateSlot{}, parts, map[int]int64{}) != nil {
				t.Error("it is taken")
			}
		})
	}
	t.Run("changed", func(t *testing.T) {
		s, err := stored(StateSlot{}, [][]byte{whole[0], whole[1], changed, whole[3]})
		if err != nil || s == nil {
			t.Fatalf("incomplete: %v", err)
		}
		if _, err := s.Unpack(nil); err == nil {
			t.Error("it is unpacked")
		}
	})
	t.Run("followed by what a longer piece left", func(t *testing.T) {
		s, err := stored(StateSlot{}, append(write(4, 1500), longer[2:]...))
		if err != nil || s == nil || s.ID != 4 {
			t.Errorf("it is not taken: %v", err)
		}
	})
}

func TestPieceKeys(t *testing.T) {
	owner := pieceOwner("a/b", "logs", 3)
	for _, s := range []StateSlot{{0, 0}, {255, 3}, {JournalShard, 7}} {
		got, part, ok := parsePieceKey(owner, pieceKey(owner, s, 12))
		if !ok || got != s || part != 12 {
			t.Errorf("%v comes back as %v, part %d, %v", s, got, part, ok)
		}
	}
	for _, key := range []string{
		"", "a/b/logs/3/", "a/b/logs/3/1/2", "a/b/logs/3/1/2/3/4", "a/b/logs/33/1/2/3", "a/b/logs/3/x/2/3", "a/b/logs/3/-2/2/3",
		"a/b/logs/3/1/-2/3", "a/b/logs/3/1/2/-3", "a/b/logs/3/1/2/99999999", "other/logs/3/1/2/3",
	} {
		if _, _, ok := parsePieceKey(owner, []byte(key)); ok {
			t.Errorf("%q is taken for one of ours", key)
		}
	}
}

// FuzzParts: whatever a record holds, reading it neither panics nor takes much more
// memory than it could really unpack to.
func FuzzParts(f *testing.F) {
	pk, err := newPacker()
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []int{0, 10, 3000} {
		values, err := pk.parts(&StatePiece{ID: 7, Data: make([]byte, n)}, 1000)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(values[0])
	}
	forged := appendPart(nil, &part{n: 1, packed: 9, raw: 200_000, data: []byte("\x28\xb5\x2f\xfd\xe0\xff\xff\xff\x7f")})
	f.Add(forged)
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if s, err := stored(StateSlot{}, [][]byte{b}); err == nil && s != nil {
			data, err := s.Unpack(nil)
			if err == nil && len(data) != int(s.parts[0].raw) {
				t.Errorf("%d bytes, the header says %d", len(data), s.parts[0].raw)
			}
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(len(b))*maxRatio+64<<20 {
			t.Errorf("%d bytes took %d", len(b), took)
		}
	})
}
