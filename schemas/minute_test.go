package schemas

import "testing"

// FuzzMinute checks that what was read before changes nothing.
func FuzzMinute(f *testing.F) {
	const first = "2026-01-01T00:00:00.5Z"
	for _, text := range []string{
		first, "2026-01-01T00:00:59Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00.30Z", "2026-01-01T00:00:30.Z", "2026-01-01T00:00:3.5Z",
		"2026-01-01T00:00:07.123456789+01:00", "2026-01-01T00:00:07-0100", "2026-01-01T00:01:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "1",
	} {
		f.Add(first, text)
	}
	f.Add("1970-01-01T00:30:00-01:00", "1970-01-01T00:30:00+01:00")
	f.Add("1969-12-31T23:30:01-01:00", "1969-12-31T23:30:02-01:00")
	f.Add("2199-12-31T23:59:59Z", "2199-12-31T23:59:59-00:01")
	f.Add("", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00:00Z")
	f.Fuzz(func(t *testing.T, first, second string) {
		var m minute
		for _, text := range []string{first, second, first} {
			want, wantOK := parseRFC3339([]byte(text))
			if got, ok := m.parseRFC3339([]byte(text)); ok != wantOK || ok && got != want {
				t.Fatalf("%q after %q is %d, %v, want %d, %v", text, first, got, ok, want, wantOK)
			}
		}
	})
}
