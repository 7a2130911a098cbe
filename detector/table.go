package detector

import (
	"cmp"
	"math/bits"
)

// key names a record: the 16 bytes of an address (big endian), or 128 bits of a
// keyed hash for what is not an address alone.
type key [2]uint64

func (k key) compare(o key) int { return cmp.Or(cmp.Compare(k[0], o[0]), cmp.Compare(k[1], o[1])) }

// seed makes the hashes of keys unpredictable to whoever chooses the addresses.
type seed [2]uint64

// hash mixes all bits of k (wyhash's multiply-and-fold), so that consecutive
// addresses spread whatever bits a table uses.
func (s seed) hash(k key) uint64 {
	hi, lo := bits.Mul64(k[0]^s[0], k[1]^s[1])
	hi, lo = bits.Mul64(hi^lo^s[1], 0x9e3779b97f4a7c15)
	return hi ^ lo
}

// table finds records by key: open addressing, linear probing, 8 bytes a slot
// (32 bits of the hash, 32 bits of the record's ref). The keys stand in the
// records, and the slots in a block of the same arena.
type table struct {
	slots []uint64 // hash<<32 | ref; 0 is empty
	block ref
	used  int
}

func (t *table) mask() int { return len(t.slots) - 1 }

// find gives the slot of a bundle's record with key k, or -1.
func (t *table) find(a *arena, k key, bundle int, h uint64) int {
	if len(t.slots) == 0 {
		return -1
	}
	tag := uint32(h)
	for i := int(tag) & t.mask(); ; i = (i + 1) & t.mask() {
		s := t.slots[i]
		if s == 0 {
			return -1
		}
		if uint32(s>>32) == tag {
			w := a.at(ref(uint32(s)))
			if w[0] == k[0] && w[1] == k[1] && record(w).bundle() == bundle {
				return i
			}
		}
	}
}

// prefetch has the slot brought at which the look for a hash begins.
func (t *table) prefetch(h uint64) {
	if len(t.slots) > 0 {
		prefetch(&t.slots[int(uint32(h))&t.mask()])
	}
}

// guess gives the first record whose key has the hash in what the table keeps of it,
// which is nearly always the one that find finds; 0: there is none.
func (t *table) guess(h uint64) ref {
	if len(t.slots) == 0 {
		return 0
	}
	tag := uint32(h)
	for i := int(tag) & t.mask(); ; i = (i + 1) & t.mask() {
		s := t.slots[i]
		if s == 0 || uint32(s>>32) == tag {
			return ref(uint32(s))
		}
	}
}

// insert puts in the record of a key that is not in the table.
func (t *table) insert(a *arena, h uint64, r ref) {
	if (t.used+1)*5 > len(t.slots)*4 {
		t.grow(a)
	}
	t.used++
	t.place(uint64(uint32(h))<<32 | uint64(r))
}

func (t *table) place(s uint64) {
	i := int(s>>32) & t.mask()
	for t.slots[i] != 0 {
		i = (i + 1) & t.mask()
	}
	t.slots[i] = s
}

func (t *table) grow(a *arena) {
	old, block := t.slots, t.block
	n := max(8, 2*len(old))
	t.block = a.allocTable(n)
	t.slots = a.at(t.block)[:n:n]
	clear(t.slots)
	for _, s := range old {
		if s != 0 {
			t.place(s)
		}
	}
	if len(old) > 0 {
		a.recycle(block, len(old))
	}
}

// ref gives the record in a slot, 0 if the slot is empty.
func (t *table) ref(slot int) ref { return ref(uint32(t.slots[slot])) }

// moved says that the record of a slot has a new place.
func (t *table) moved(slot int, r ref) {
	t.slots[slot] = t.slots[slot]&^0xffffffff | uint64(r)
}

// remove empties a slot and closes the gap, so that no tombstones pile up.
func (t *table) remove(slot int) {
	t.used--
	gap := slot
	for i := (slot + 1) & t.mask(); t.slots[i] != 0; i = (i + 1) & t.mask() {
		home := int(t.slots[i]>>32) & t.mask()
		if (i-home)&t.mask() >= (i-gap)&t.mask() {
			t.slots[gap] = t.slots[i]
			gap = i
		}
	}
	t.slots[gap] = 0
}
