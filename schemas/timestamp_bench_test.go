package schemas

import "testing"

func BenchmarkTimestamp(b *testing.B) {
	for _, bm := range []struct {
		name, text string
		parse      func([]byte) (int64, bool)
	}{
		{"rfc3339", "2026-01-01T10:05:03.500000Z", parseRFC3339},
		{"rfc3339-offset", "2026-01-01T10:05:03.5+01:00", parseRFC3339},
		{"epoch", "1767261903.500", parseEpoch},
		{"common-log", "01/Jan/2026:10:05:03 +0100", parseCommonLog},
	} {
		b.Run(bm.name, func(b *testing.B) {
			in := []byte(bm.text)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := bm.parse(in); !ok {
					b.Fatal("no time")
				}
			}
		})
	}
}
