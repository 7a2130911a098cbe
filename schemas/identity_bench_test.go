package schemas

import (
	"net/netip"
	"testing"
)

// BenchmarkIdentity finds whom an event counts for: without proxies, behind two of
// them, and where a network is one subject.
func BenchmarkIdentity(b *testing.B) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:f::/48")}
	for _, bm := range []struct {
		name     string
		identity Identity
		event    Event
	}{
		{"plain", Identity{}, Event{ClientIP: netip.MustParseAddr("198.51.100.7")}},
		{"behind-proxies", Identity{TrustedProxies: proxies}, Event{
			ClientIP: netip.MustParseAddr("10.0.0.4"), XForwardedFor: []byte("203.0.113.9, 198.51.100.7, 10.0.0.3"),
		}},
		{"prefix", Identity{IPv6Prefix: 64}, Event{ClientIP: netip.MustParseAddr("2001:db8:1:2:3:4:5:6")}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if addr, _ := bm.identity.Subject(&bm.event); !addr.IsValid() {
					b.Fatal("no subject")
				}
			}
		})
	}
}
