package detector

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

func client(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func hit(at netip.Addr, t int64, path string) *schemas.Event {
	return &schemas.Event{Time: t, HasTime: true, ClientIP: at, Status: 200, Method: []byte("GET"), Path: []byte(path)}
}

// TestSpoofedAddressesStayInBounds floods an engine with addresses that come once. The
// state stays within its bound, and a client over half its threshold is still known.
func TestSpoofedAddressesStayInBounds(t *testing.T) {
	const bound, shards = 64 << 10, 4
	e := NewEngine(mustLoad(t, "version: 1\nrules: [{id: a, type: usage, threshold: 10, window: 1h}, {id: b, type: distinct, field: path, threshold: 5, window: 1h}]"),
		Options{Topic: "t", File: true, Shards: shards, MaxBytes: bound})
	at := int64(origin)
	slow := netip.MustParseAddr("192.0.2.1")
	n := 0
	send := func(ev *schemas.Event) []schemas.Verdict {
		e.Observe(ev, Record{Offset: int64(n)})
		n++
		v, _ := e.Take()
		return v
	}
	for range 6 {
		send(hit(slow, at, "/"))
	}
	for i := range 100_000 {
		at += 1000
		send(hit(client(i), at, "/"))
		for s := range e.shards {
			if held := e.shards[s].bytes(); held > bound {
				t.Fatalf("after %d addresses shard %d holds %d bytes, its bound is %d", i, s, held, bound)
			}
		}
	}
	if e.Stats().Evicted < 90_000 {
		t.Errorf("%d records were evicted", e.Stats().Evicted)
	}
	// What the arena holds for blocks that come and go is not far beyond.
	if held := e.arena.bytes(); held > 2*bound*shards {
		t.Errorf("the arena holds %d bytes, all shards may hold %d", held, bound*shards)
	}
	for i := range 5 {
		at += 1000
		if v := send(hit(slow, at, "/")); (len(v) > 0) != (i == 4) {
			t.Errorf("request %d of the slow client gave %d verdicts", 7+i, len(v))
		}
	}
}

// TestEvictionTakesTheIdle wants of every eviction that nothing over half a threshold
// went while something else was there, and that what went was idle for longest.
func TestEvictionTakesTheIdle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := NewEngine(mustLoad(t, "version: 1\nrules: [{id: a, type: usage, threshold: 4, window: 1h}]"),
			Options{Topic: "t", File: true, Shards: 1, MaxBytes: rapid.Int64Range(600, 4000).Draw(t, "bytes")})
		type seen struct {
			n    int
			last int64
		}
		known := map[netip.Addr]*seen{}
		s := &e.shards[0]
		for i := range rapid.IntRange(1, 300).Draw(t, "events") {
			at := int64(origin) + int64(i)*1000
			c := client(rapid.IntRange(0, 60).Draw(t, "client"))
			evicted := e.stats.Evicted
			e.Observe(hit(c, at, "/"), Record{Offset: int64(i)})
			e.Take()
			if known[c] == nil {
				known[c] = &seen{}
			}
			known[c].n++
			known[c].last = at
			if e.stats.Evicted == evicted {
				continue
			}
			var gone, left []netip.Addr
			for a := range known {
				if s.find(e.arena, addressKey(a), 0, e.hashOf(addressKey(a), 0)) < 0 {
					gone = append(gone, a)
				} else {
					left = append(left, a)
				}
			}
			for _, g := range gone {
				for _, l := range left {
					keepG, keepL := known[g].n > 2, known[l].n > 2
					if keepG && !keepL || keepG == keepL && known[g].last > known[l].last {
						t.Fatalf("event %d: %v with %+v went, %v with %+v stayed", i, g, *known[g], l, *known[l])
					}
				}
			}
			if s.bytes() > e.opts.MaxBytes {
				t.Fatalf("%d bytes are left, the bound is %d", s.bytes(), e.opts.MaxBytes)
			}
			for _, g := range gone {
				delete(known, g)
			}
		}
	})
}

// TestEndpointNamesFold counts the names beyond a shard's bound as one, for rules that
// tell endpoints apart.
func TestEndpointNamesFold(t *testing.T) {
	e := NewEngine(mustLoad(t, "version: 1\nrules: [{id: a, type: usage, threshold: 3, window: 1h, group_by: [subject, endpoint]}]"),
		Options{Topic: "t", File: true, Shards: 1, MaxEndpoints: 5})
	c, n := client(1), 0
	fired := 0
	for i := range 9 {
		e.Observe(hit(c, origin+int64(i), fmt.Sprintf("/p%c", 'a'+i)), Record{Offset: int64(i)})
		if v, _ := e.Take(); len(v) > 0 {
			fired, n = fired+1, i
		}
	}
	if fired != 1 || n != 8 {
		t.Errorf("%d verdicts, the last at request %d; want one at request 8: the fourth of a name beyond five", fired, n)
	}
	if got := e.Stats().Subjects; got != 6 {
		t.Errorf("%d records, want five named and one for the rest", got)
	}
	if e.shards[0].names != 5 {
		t.Errorf("%d names", e.shards[0].names)
	}
}
