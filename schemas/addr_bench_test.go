package schemas

import "testing"

func BenchmarkParseAddr(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"v4", "198.51.100.7"},
		{"v4-port", "198.51.100.7:54321"},
		{"v6", "2001:db8:1:2:3:4:5:6"},
		{"v6-short", "2001:db8::7"},
		{"v4-in-v6", "::ffff:198.51.100.7"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			in := []byte(bm.text)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := ParseAddr(in); !ok {
					b.Fatal("no address")
				}
			}
		})
	}
}
