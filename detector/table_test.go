package detector

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

var testSeed = seed{0x0123456789abcdef, 0xfedcba9876543210}

func insertKey(a *arena, t *table, k key) {
	h := testSeed.hash(k)
	t.insert(a, h, newRecord(a, k, 0, 0, 0, 1))
}

func TestTableFindsWhatItHolds(t *testing.T) {
	a, tab := newArena(), &table{}
	rnd := rand.New(rand.NewPCG(1, 2))
	held := map[key]bool{}
	for range 50_000 {
		k := key{0, uint64(rnd.IntN(20_000))}
		h := testSeed.hash(k)
		slot := tab.find(a, k, 0, h)
		if (slot >= 0) != held[k] {
			t.Fatalf("key %v: found %v, held %v", k, slot >= 0, held[k])
		}
		switch {
		case slot < 0:
			insertKey(a, tab, k)
			held[k] = true
		case rnd.IntN(2) == 0:
			r := tab.ref(slot)
			tab.remove(slot)
			a.release(r, record(a.at(r)).class())
			delete(held, k)
		}
	}
	if tab.used != len(held) {
		t.Fatalf("table counts %d, holds %d", tab.used, len(held))
	}
	for k := range held {
		if tab.find(a, k, 0, testSeed.hash(k)) < 0 {
			t.Fatalf("key %v is lost", k)
		}
	}
}

// Consecutive addresses are the usual population of a network; a hash that misses a
// byte of them makes a table many times slower.
func TestConsecutiveAddressesSpread(t *testing.T) {
	for name, addr := range map[string]func(i int) netip.Addr{
		"IPv4": func(i int) netip.Addr {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], 10<<24+uint32(i))
			return netip.AddrFrom4(b)
		},
		"IPv6 hosts": func(i int) netip.Addr {
			b := netip.MustParseAddr("2001:db8::").As16()
			binary.BigEndian.PutUint64(b[8:], uint64(i))
			return netip.AddrFrom16(b)
		},
		"IPv6 networks": func(i int) netip.Addr {
			b := netip.MustParseAddr("2001:db8::1").As16()
			binary.BigEndian.PutUint32(b[4:], uint32(i))
			return netip.AddrFrom16(b)
		},
	} {
		a, tab := newArena(), &table{}
		const n = 100_000
		for i := range n {
			insertKey(a, tab, addressKey(addr(i)))
		}
		steps := 0
		for i, s := range tab.slots {
			if s != 0 {
				steps += (i - int(s>>32)&tab.mask()) & tab.mask()
			}
		}
		if mean := float64(steps) / n; mean > 3 {
			t.Errorf("%s: an address stands %.1f slots from its place on average", name, mean)
		}
		if !testing.Short() {
			var perShard [64]int
			for i := range n {
				perShard[testSeed.hash(addressKey(addr(i)))>>58]++
			}
			for shard, got := range perShard {
				if got < n/64*8/10 || got > n/64*12/10 {
					t.Errorf("%s: shard %d has %d of %d addresses", name, shard, got, n)
				}
			}
		}
	}
}
