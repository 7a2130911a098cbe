//go:build !linux

package detector

// newWords gives n zeroed words.
func newWords(n int) []uint64 { return make([]uint64, n) }
