package schemas

import (
	"slices"

	"golang.org/x/sys/cpu"
)

// mark sets the bits of a record of 64 bytes or more (AVX2) and says whether a byte
// from 0x80 on is in it.
func (s *stops) mark() (high bool) {
	s.bits = s.bits[:0]
	if !cpu.X86.HasAVX2 || len(s.b) < 64 {
		return false
	}
	words := len(s.b)/64 + 2
	s.bits = slices.Grow(s.bits, words)[:words]
	return markStops(&s.bits[0], &s.b[0], len(s.b))
}

// markStops sets n/64+2 words: a bit for each of the n bytes of src, n being 64 at
// least, and ones behind them. It says whether one of the bytes is 0x80 or more.
//
//go:noescape
func markStops(dst *uint64, src *byte, n int) (high bool)
