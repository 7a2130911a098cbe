package detector

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugeWords is the size of a huge page.
const hugeWords = 2 << 20 / 8

// adviseHuge asks for huge pages.
func adviseHuge(words []uint64) {
	if len(words) < 2*hugeWords {
		return
	}
	_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words)), unix.MADV_HUGEPAGE)
}
