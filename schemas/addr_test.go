package schemas

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseAddr(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7":             "192.0.2.7",
		"0.0.0.0":               "0.0.0.0",
		"255.255.255.255":       "255.255.255.255",
		" \t192.0.2.7 ":         "192.0.2.7",
		"192.0.2.7:99":          "192.0.2.7",
		"192.0.2.7:0":           "192.0.2.7",
		"192.0.2.7:65535":       "192.0.2.7",
		"[192.0.2.7]":           "192.0.2.7",
		"[192.0.2.7]:80":        "192.0.2.7",
		"::ffff:192.0.2.7":      "192.0.2.7",
		"::ffff:c000:207":       "192.0.2.7",
		"[::ffff:c000:207]:80":  "192.0.2.7",
		"::FFFF:192.0.2.7%eth0": "192.0.2.7",
		"2001:0DB8:0:0:0:0:0:1": "2001:db8::1",
		"2001:db8::1":           "2001:db8::1",
		"2001:DB8::0001":        "2001:db8::1",
		"[2001:db8::1]":         "2001:db8::1",
		"[2001:db8::1]:443":     "2001:db8::1",
		"  [2001:db8::1]:443 ":  "2001:db8::1",
		"2001:db8::1:443":       "2001:db8::1:443",
		"fe80::1%eth0":          "fe80::1",
		"[fe80::1%25en0]:8080":  "fe80::1",
		"::":                    "::",
		"::1":                   "::1",
		"1::":                   "1::",
		"1:2:3:4:5:6:7:8":       "1:2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7::":       "1:2:3:4:5:6:7:0",
		"::2:3:4:5:6:7:8":       "0:2:3:4:5:6:7:8",
		"1:2:3:4:5:6:1.2.3.4":   "1:2:3:4:5:6:102:304",
		"64:ff9b::192.0.2.33":   "64:ff9b::c000:221",
		"::1.2.3.4":             "::102:304",
		"abcd:ef01:2345:6789:abcd:ef01:2345:6789": "abcd:ef01:2345:6789:abcd:ef01:2345:6789",
	} {
		got, ok := ParseAddr([]byte(text))
		if !ok || got.String() != want {
			t.Errorf("ParseAddr(%q) = %v, %v, want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", " ", "*", "-", "localhost", "unknown", "1.2.3", "1.2.3.04", "01.2.3.4", "1.2.3.4.5", "1.2.3.4.", ".1.2.3.4", "1..2.3", "256.1.1.1", "999.1.1.1",
		"1.2.3.4x", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "1.2.3.4:80:80", "1.2.3.4 5", "1.2.3.4/32", "1.2.3.4,5.6.7.8", "1.2.3.4%eth0", "0x1.2.3.4", "1.2.3.0004",
		"[", "[]", "[1.2.3.4", "1.2.3.4]", "[::1", "::1]", "[::1]80", "[::1]:", "[::1]:x", "[[::1]]", "[ ::1 ]", "[::1]x", "[::1] :80", "[1.2.3.4:80]",
		":", ":::", ":1", "1:", "::1::", "1::2::3", ":::1", "1:::2", "12345::", "g::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7:8::",
		"::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "fe80::1%", "0::0:%00", "%eth0", "::%", "::1.2.3", "::1.2.3.04", "::1.2.3.4:80", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4",
		"1:2:3:4:5:1.2.3.4", "::ffff:1.2.3.256", "2001:db8::1/64", "１.2.3.4", "1.2.3.4\n", "\x00", "1.2.3.4\x00",
	} {
		if got, ok := ParseAddr([]byte(text)); ok || got.IsValid() {
			t.Errorf("ParseAddr(%q) = %v, want no address", text, got)
		}
	}
}

// FuzzParseAddr compares with net/netip what both know.
func FuzzParseAddr(f *testing.F) {
	for _, seed := range []string{"192.0.2.7", "::ffff:1.2.3.4", "2001:db8::1%eth0", "[::1]:80", "1.2.3.4:80", "1:2:3:4:5:6:7::", "::1.2.3.4", "1.2.3.04", " ::1", "0.0.0.0A", "[1.2.3.4:80]", "0::0:%00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := ParseAddr([]byte(text))
		if ok != got.IsValid() {
			t.Fatalf("ParseAddr(%q) = %v, %v", text, got, ok)
		}
		if ok && (got.Zone() != "" || got.Is4In6()) {
			t.Fatalf("ParseAddr(%q) = %v, which is not canonical", text, got)
		}
		want, err := netip.ParseAddr(text)
		if strings.ContainsAny(text, "[] \t") {
			return
		}
		if port, perr := netip.ParseAddrPort(text); perr == nil {
			want, err = port.Addr(), nil
		}
		if want = want.WithZone("").Unmap(); ok != (err == nil) || got != want {
			t.Fatalf("ParseAddr(%q) = %v, %v, net/netip says %v, %v", text, got, ok, want, err)
		}
	})
}

func BenchmarkParseAddr(b *testing.B) {
	for name, in := range map[string]string{"v4": "198.51.100.7", "v6": "2001:db8:85a3::8a2e:370:7334"} {
		b.Run(name, func(b *testing.B) {
			text := []byte(in)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := ParseAddr(text); !ok {
					b.Fatal(in)
				}
			}
		})
	}
}
