package detector

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	hugePage  = 2 << 20 // bytes
	hugeWords = hugePage / 8
)

// newWords gives n zeroed words, in huge pages where they fill several and the kernel
// has any to give. Counts are touched all over, and with pages of 4 KiB most touches
// wait for the page table as well: 60 of 845 ns an event with 20,000 clients, more in a
// virtual machine. The words begin where a page does; those before are never touched,
// hence take no memory.
func newWords(n int) []uint64 {
	if n < 2*hugeWords {
		return make([]uint64, n)
	}
	words := make([]uint64, n+hugeWords)
	before := -uintptr(unsafe.Pointer(&words[0])) % hugePage / 8
	words = words[before : before+uintptr(n) : before+uintptr(n)]
	_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*n), unix.MADV_HUGEPAGE) // advice, no more
	return words
}
