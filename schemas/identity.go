package schemas

import "net/netip"

// Identity says whom an event counts for. The zero value: nobody is a trusted
// proxy and each address stands for itself. Safe for concurrent use.
type Identity struct {
	TrustedProxies []netip.Prefix
	IPv4Prefix     int // 0 means 32
	IPv6Prefix     int // 0 means 128
}
