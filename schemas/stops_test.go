package schemas

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzStops checks each place of a record against a look at each byte, with marks and
// without.
func FuzzStops(f *testing.F) {
	f.Add([]byte(`{"a":"b\n"}`), 0)
	f.Add(bytes.Repeat([]byte("plain text"), 100), 3)
	f.Add(bytes.Repeat([]byte("\"\\\x00\x1f\x20\x7f\x80\xff!#[]^"), 20), 7)
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		in := make([]byte, n)
		for i := range in {
			in[i] = byte(rnd.Uint32() >> rnd.IntN(24))
		}
		f.Add(in, n/2)
	}
	f.Fuzz(func(t *testing.T, in []byte, from int) {
		from = int(uint(from) % uint(len(in)+1))
		// Not at the beginning of an allocation, and before other bytes.
		record := slices.Concat([]byte{'"'}, in, []byte{0xff})[1 : len(in)+1]
		var marked stops
		marked.begin(record)
		searched := stops{b: record}
		want := from
		for ; want < len(in) && in[want] >= ' ' && in[want] != '"' && in[want] != '\\'; want++ {
		}
		for name, s := range map[string]*stops{"marked": &marked, "searched": &searched} {
			if got := min(s.next(from), len(in)); got != want {
				t.Fatalf("%s: plain text of %q ends at %d from %d on, want %d", name, in, got, from, want)
			}
		}
		high := slices.ContainsFunc(in, func(c byte) bool { return c >= 0x80 })
		if len(marked.bits) > 0 && marked.high != high {
			t.Fatalf("a high byte in %q: %v", in, marked.high)
		}
		if slices.ContainsFunc(in[from:want], func(c byte) bool { return c >= 0x80 }) && !searched.high {
			t.Fatalf("missed a high byte in %q", in[from:want])
		}
	})
}
