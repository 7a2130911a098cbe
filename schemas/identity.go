package schemas

import (
	"bytes"
	"net/netip"
)

// Identity says whom an event counts for. The zero value: nobody is a trusted
// proxy and each address stands for itself. Safe for concurrent use.
type Identity struct {
	TrustedProxies []netip.Prefix
	IPv4Prefix     int // 0 means 32
	IPv6Prefix     int // 0 means 128
}

// Subject gives the address that ev counts for: its client's, masked to the prefix
// of its family. See Client.
func (id *Identity) Subject(ev *Event) (addr netip.Addr, ignoredClaim bool) {
	client, ignored := id.Client(ev)
	return id.Mask(client), ignored
}

// Client gives the address of the client behind ev.
//
// The peer is peer_ip, else client_ip. A peer that is no trusted proxy is the
// subject, and ignoredClaim says whether it claimed to be somebody else (by
// x_forwarded_for or client_ip). Behind a trusted peer the subject is the rightmost
// entry of x_forwarded_for that is no trusted proxy; without that header, client_ip;
// the peer where the chain has nobody else in it or a malformed entry comes first.
func (id *Identity) Client(ev *Event) (addr netip.Addr, ignoredClaim bool) {
	peer := ev.PeerIP
	if !peer.IsValid() {
		peer = ev.ClientIP
	}
	if !id.trusts(peer) {
		return peer, len(ev.XForwardedFor) > 0 || ev.ClientIP != peer
	}
	chain := trimBlanks(ev.XForwardedFor)
	if len(chain) == 0 {
		return ev.ClientIP, false
	}
	for len(chain) > 0 {
		comma := bytes.LastIndexByte(chain, ',')
		hop, ok := ParseAddr(chain[comma+1:])
		if !ok {
			break
		}
		if !id.trusts(hop) {
			return hop, false
		}
		chain = chain[:max(comma, 0)]
	}
	return peer, false
}

// Network gives the addresses that share addr's subject: addr alone, or its prefix.
func (id *Identity) Network(addr netip.Addr) netip.Prefix {
	prefix, err := addr.Prefix(min(id.bits(addr), addr.BitLen()))
	if err != nil {
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	return prefix
}

// Name gives the scope and the text of a subject that Subject gave: "ip" and
// 192.0.2.7, or "range" and 2001:db8::/64.
func (id *Identity) Name(addr netip.Addr) (Scope, string) {
	if bits := id.bits(addr); bits < addr.BitLen() {
		return ScopeRange, netip.PrefixFrom(addr, bits).String()
	}
	return ScopeIP, addr.String()
}

func (id *Identity) trusts(addr netip.Addr) bool {
	for i := range id.TrustedProxies {
		if id.TrustedProxies[i].Contains(addr) {
			return true
		}
	}
	return false
}

// Mask gives the subject that stands for addr: addr with the bits beyond its family's
// prefix cleared.
func (id *Identity) Mask(addr netip.Addr) netip.Addr {
	bits := id.bits(addr)
	if bits >= addr.BitLen() {
		return addr
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}

// bits gives how many bits of addr tell subjects apart.
func (id *Identity) bits(addr netip.Addr) int {
	bits := id.IPv6Prefix
	if addr.Is4() {
		bits = id.IPv4Prefix
	}
	if bits <= 0 {
		return addr.BitLen()
	}
	return bits
}
