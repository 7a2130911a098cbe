package schemas

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// parseDotted is ParseAddr for an IPv4 address that is all of text, and has no branch
// that depends on how many digits a part has: where addresses differ the processor
// guesses that wrong again and again, 15 of 205 ns a record. text must have capacity for 16 bytes; what
// stands behind it does not matter. False: not so, or no such address.
func parseDotted(text []byte) (netip.Addr, bool) {
	if len(text) > len("255.255.255.255") || cap(text) < 16 {
		return netip.Addr{}, false
	}
	b := text[:16]
	low, high := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	end := uint64(1) << (len(text) & 63)
	dots := (dotsOf(low)|dotsOf(high)<<8)&(end-1) | end
	dot1 := bits.TrailingZeros64(dots)
	dots &= dots - 1
	dot2 := bits.TrailingZeros64(dots)
	dots &= dots - 1
	dot3 := bits.TrailingZeros64(dots)
	dots &= dots - 1
	size1, size2, size3, size4 := dot1, dot2-dot1-1, dot3-dot2-1, len(text)-dot3-1
	sizes := uint64(1)<<(size1&63) | 1<<(size2&63) | 1<<(size3&63) | 1<<(size4&63)
	if dots != end || sizes&^(1<<1|1<<2|1<<3) != 0 {
		return netip.Addr{}, false
	}
	n1, bad1 := dottedPart(uint32(low), size1)
	n2, bad2 := dottedPart(binary.LittleEndian.Uint32(b[dot1+1:]), size2)
	n3, bad3 := dottedPart(binary.LittleEndian.Uint32(b[dot2+1:]), size3)
	n4, bad4 := dottedPart(binary.LittleEndian.Uint32(b[dot3+1:]), size4)
	if bad1|bad2|bad3|bad4 != 0 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte{n1, n2, n3, n4}), true
}

// dotsOf gives a bit for each byte of w that is a dot.
func dotsOf(w uint64) uint64 {
	const low7 = eachByte * 0x7f
	w ^= eachByte * '.'
	zero := ^((w&low7 + low7) | w | low7) // 0x80 in each byte that is 0
	return zero >> 7 * 0x0102040810204080 >> 56
}

// dottedPart reads the first 1 to 3 bytes of w as a number up to 255 without a leading
// zero; bad is not 0 where they are none.
func dottedPart(w uint32, size int) (n byte, bad uint32) {
	w = (w ^ '0'*0x01010101) << (-8 * size & 31) // what is in front of the digits is 0 now
	bad = (w + 0x76*0x01010101) | w
	digits := bits.ReverseBytes32(w)
	first := uint32(1) << ((8*size - 8) & 31) &^ 1
	bad = bad&0x80808080 | ((0x020505-digits)|(digits-first))&(1<<31)
	return byte(w * (1 + 10<<8 + 100<<16) >> 24), bad
}
