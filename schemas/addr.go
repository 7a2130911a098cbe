package schemas

import (
	"bytes"
	"net/netip"
)

// ParseAddr reads an address in any of the ways in which gateways write one and
// gives its canonical form: blanks around it, brackets, port and zone removed,
// an IPv4 address inside IPv6 unmapped; the zero Addr where there is none. It
// allocates nothing.
func ParseAddr(b []byte) (netip.Addr, bool) {
	if addr, n := parseIPv4(b); n == len(b) && n > 0 {
		return addr, true
	}
	b = trimBlanks(b)
	if len(b) == 0 {
		return netip.Addr{}, false
	}
	if b[0] == '[' {
		return parseBracketed(b[1:])
	}
	if addr, n := parseIPv4(b); n > 0 {
		if n < len(b) && !isPort(b[n:]) {
			return netip.Addr{}, false
		}
		return addr, true
	}
	return parseIPv6(b)
}

// parseBracketed reads what follows an opening bracket: an address, the closing
// bracket and perhaps a port.
func parseBracketed(b []byte) (netip.Addr, bool) {
	for i, c := range b {
		if c != ']' {
			continue
		}
		if rest := b[i+1:]; len(rest) > 0 && !isPort(rest) {
			return netip.Addr{}, false
		}
		if addr, n := parseIPv4(b[:i]); n == i && n > 0 {
			return addr, true
		}
		return parseIPv6(b[:i])
	}
	return netip.Addr{}, false
}

// isPort says whether b is ":" and a number up to 65535.
func isPort(b []byte) bool {
	if len(b) < 2 || b[0] != ':' {
		return false
	}
	n := 0
	for _, c := range b[1:] {
		if c -= '0'; c > 9 {
			return false
		}
		if n = n*10 + int(c); n > 65535 {
			return false
		}
	}
	return true
}

// parseIPv4 reads a dotted address at the start of b and gives its length, 0 where
// there is none. A part has no leading zero.
func parseIPv4(b []byte) (netip.Addr, int) {
	var a [4]byte
	i := 0
	for part := range a {
		start := i
		n := uint(0)
		for i < len(b) && i < start+3 && b[i]-'0' <= 9 {
			n = n*10 + uint(b[i]-'0')
			i++
		}
		if i == start || n > 255 || (b[start] == '0' && i > start+1) {
			return netip.Addr{}, 0
		}
		a[part] = byte(n)
		if part < 3 {
			if i >= len(b) || b[i] != '.' {
				return netip.Addr{}, 0
			}
			i++
		}
	}
	if i < len(b) && (b[i]-'0' <= 9 || b[i] == '.') {
		return netip.Addr{}, 0
	}
	return netip.AddrFrom4(a), i
}

// parseIPv6 reads an IPv6 address as in RFC 4291, section 2.2, with or without a
// zone.
func parseIPv6(b []byte) (netip.Addr, bool) {
	if zone := bytes.IndexByte(b, '%'); zone >= 0 {
		if zone == len(b)-1 {
			return netip.Addr{}, false
		}
		b = b[:zone]
	}
	var a [16]byte
	n := 0         // bytes of a that are filled
	ellipsis := -1 // where "::" stands in a
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		ellipsis = 0
		b = b[2:]
	}
	for n < 16 && len(b) > 0 {
		group := 0
		digits := 0
		for digits < len(b) && digits < 5 && hexDigit(b[digits]) >= 0 {
			group = group<<4 | int(hexDigit(b[digits]))
			digits++
		}
		if digits == 0 || digits > 4 {
			return netip.Addr{}, false
		}
		if digits < len(b) && b[digits] == '.' {
			v4, length := parseIPv4(b)
			if length == 0 || n > 12 || (n != 12 && ellipsis < 0) {
				return netip.Addr{}, false
			}
			tail := v4.As4()
			n += copy(a[n:], tail[:])
			b = b[length:]
			break
		}
		a[n], a[n+1] = byte(group>>8), byte(group)
		n += 2
		b = b[digits:]
		if len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return netip.Addr{}, false
		}
		if b = b[1:]; b[0] == ':' {
			if ellipsis >= 0 {
				return netip.Addr{}, false
			}
			ellipsis = n
			b = b[1:]
		}
	}
	switch {
	case len(b) > 0, ellipsis < 0 && n != 16, ellipsis >= 0 && n == 16:
		return netip.Addr{}, false
	case ellipsis >= 0:
		tail := n - ellipsis
		copy(a[16-tail:], a[ellipsis:n])
		clear(a[ellipsis : 16-tail])
	}
	return netip.AddrFrom16(a).Unmap(), true
}

// trimBlanks removes spaces and tabs around b.
func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
