package schemas

import (
	"net/netip"
	"testing"
)

func TestSubject(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	for _, c := range []struct {
		name                        string
		client, peer, chain         string // chain "none": no header
		untrusted, trusted, prefix4 string // subjects without proxies, with proxies, and so with IPv4 prefix 24
		ignored                     bool   // with proxies
	}{
		{"direct", "203.0.113.17", "", "none", "203.0.113.17", "203.0.113.17", "203.0.113.0", false},
		{"a claim of an untrusted client", "203.0.113.17", "", "1.1.1.1", "203.0.113.17", "203.0.113.17", "203.0.113.0", true},
		{"a claim through an untrusted peer", "203.0.113.17", "203.0.113.17", "1.1.1.1", "203.0.113.17", "203.0.113.17", "203.0.113.0", true},
		{"client_ip of an untrusted peer is a claim", "1.1.1.1", "203.0.113.17", "none", "203.0.113.17", "203.0.113.17", "203.0.113.0", true},
		{"rightmost", "192.0.2.1", "192.0.2.1", "1.6.6.6, 203.0.113.5", "192.0.2.1", "203.0.113.5", "203.0.113.0", false},
		{"trusted hops at the right", "192.0.2.1", "192.0.2.1", "1.1.1.1, 203.0.113.5, 192.0.2.3,192.0.2.2", "192.0.2.1", "203.0.113.5", "203.0.113.0", false},
		{"without peer_ip", "192.0.2.1", "", "203.0.113.5", "192.0.2.1", "203.0.113.5", "203.0.113.0", false},
		{"ports, brackets, blanks", "192.0.2.1", "192.0.2.1", " [2001:db8::5]:1234 , 192.0.2.2:80 ", "192.0.2.1", "2001:db8::5", "2001:db8::5", false},
		{"IPv4 inside IPv6", "192.0.2.1", "192.0.2.1", "9.9.9.9,::ffff:203.0.113.5", "192.0.2.1", "203.0.113.5", "203.0.113.0", false},
		{"IPv6 proxies", "192.0.2.1", "2001:db8:ffff::1", "9.9.9.9, 2001:db8:ffff::2", "2001:db8:ffff::1", "9.9.9.9", "9.9.9.0", false},
		{"no header: client_ip", "203.0.113.8", "192.0.2.1", "none", "192.0.2.1", "203.0.113.8", "203.0.113.0", false},
		{"an empty header is none", "203.0.113.8", "192.0.2.1", "", "192.0.2.1", "203.0.113.8", "203.0.113.0", false},
		{"only blanks likewise", "203.0.113.8", "192.0.2.1", " \t", "192.0.2.1", "203.0.113.8", "203.0.113.0", false},
		{"all trusted: the peer", "203.0.113.8", "192.0.2.1", "192.0.2.9, 192.0.2.8", "192.0.2.1", "192.0.2.1", "192.0.2.0", false},
		{"malformed before anybody is found: the peer", "203.0.113.8", "192.0.2.1", "203.0.113.5, unknown, 192.0.2.8", "192.0.2.1", "192.0.2.1", "192.0.2.0", false},
		{"malformed behind the one that is found", "203.0.113.8", "192.0.2.1", "unknown, 203.0.113.5, 192.0.2.8", "192.0.2.1", "203.0.113.5", "203.0.113.0", false},
		{"a comma at the end is a malformed entry", "203.0.113.8", "192.0.2.1", "203.0.113.5,", "192.0.2.1", "192.0.2.1", "192.0.2.0", false},
		{"nothing but commas", "203.0.113.8", "192.0.2.1", ",,", "192.0.2.1", "192.0.2.1", "192.0.2.0", false},
		{"a comma in front of trusted ones", "203.0.113.8", "192.0.2.1", ",192.0.2.4", "192.0.2.1", "192.0.2.1", "192.0.2.0", false},
	} {
		ev := Event{ClientIP: netip.MustParseAddr(c.client)}
		if c.peer != "" {
			ev.PeerIP = netip.MustParseAddr(c.peer)
		}
		if c.chain != "none" {
			ev.XForwardedFor = []byte(c.chain)
		}
		if got, _ := new(Identity).Subject(&ev); got != netip.MustParseAddr(c.untrusted) {
			t.Errorf("%s: without proxies the subject is %v, want %s", c.name, got, c.untrusted)
		}
		if got, ignored := (&Identity{TrustedProxies: proxies}).Subject(&ev); got != netip.MustParseAddr(c.trusted) || ignored != c.ignored {
			t.Errorf("%s: with proxies the subject is %v, %v, want %s, %v", c.name, got, ignored, c.trusted, c.ignored)
		}
		if got, _ := (&Identity{TrustedProxies: proxies, IPv4Prefix: 24}).Subject(&ev); got != netip.MustParseAddr(c.prefix4) {
			t.Errorf("%s: with a prefix of 24 the subject is %v, want %s", c.name, got, c.prefix4)
		}
	}
}

func TestSubjectName(t *testing.T) {
	for _, c := range []struct {
		v4, v6 int
		client string
		scope  Scope
		name   string
	}{
		{0, 0, "192.0.2.7", ScopeIP, "192.0.2.7"},
		{32, 128, "192.0.2.7", ScopeIP, "192.0.2.7"},
		{24, 0, "192.0.2.7", ScopeRange, "192.0.2.0/24"},
		{0, 0, "2001:db8:0:1:ffff::c", ScopeIP, "2001:db8:0:1:ffff::c"},
		{0, 64, "2001:db8:0:1:ffff::c", ScopeRange, "2001:db8:0:1::/64"},
		{0, 56, "2001:db8:0:1ff::1", ScopeRange, "2001:db8:0:100::/56"},
		{0, 64, "192.0.2.7", ScopeIP, "192.0.2.7"},
		{24, 0, "2001:db8::1", ScopeIP, "2001:db8::1"},
		{1, 1, "192.0.2.7", ScopeRange, "128.0.0.0/1"},
	} {
		id := Identity{IPv4Prefix: c.v4, IPv6Prefix: c.v6}
		subject, _ := id.Subject(&Event{ClientIP: netip.MustParseAddr(c.client)})
		if scope, name := id.Name(subject); scope != c.scope || name != c.name {
			t.Errorf("prefixes %d and %d: %s is %s %s, want %s %s", c.v4, c.v6, c.client, scope, name, c.scope, c.name)
		}
	}
}

func TestSubjectAllocatesNothing(t *testing.T) {
	id := Identity{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.0.0.0/8")}, IPv6Prefix: 64}
	ev := Event{ClientIP: netip.MustParseAddr("192.0.2.1"), XForwardedFor: []byte("1.1.1.1, 2001:db8::5, 192.0.2.3")}
	if n := testing.AllocsPerRun(100, func() { id.Subject(&ev) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
