package schemas

import (
	"bytes"
	"fmt"
	"testing"
)

// Every number of up to four digits, and other texts, at each place.
func TestParseDotted(t *testing.T) {
	parts := []string{"", "0", "00", "000", "01", "001", "010", "-1", "+1", " 1", "1 ", "1.1", ".", "a", "\xb0", "2\xb5", "1\x00", "1:", "1/", "0x1", "2565"}
	for n := range 10_000 {
		parts = append(parts, fmt.Sprint(n))
	}
	for _, part := range parts {
		for place := range 4 {
			fields := [4]string{"9", "27", "255", "0"}
			fields[place] = part
			checkDotted(t, fmt.Sprintf("%s.%s.%s.%s", fields[0], fields[1], fields[2], fields[3]))
		}
	}
}

func FuzzParseDotted(f *testing.F) {
	for _, text := range []string{"", "1.2.3.4", "255.255.255.255", "1.2.3", "1.2.3.4.", ".1.2.3", "1.2.3.4.5", "1..2.3", "192.0.2.1:80", "::ffff:1.2.3.4", "...", "1111111111.1.1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkDotted(t, text) })
}

// checkDotted compares with the reading byte by byte, whatever stands behind the text.
func checkDotted(t *testing.T, text string) {
	t.Helper()
	want, n := parseIPv4([]byte(text))
	ok := n == len(text) && n > 0
	for _, behind := range []string{"\"", "0", ".", "9.9.9.9", "\xff"} {
		b := append([]byte(text), bytes.Repeat([]byte(behind), 16)...)
		if got, gotOK := parseDotted(b[:len(text)]); gotOK != ok || ok && got != want {
			t.Fatalf("%q is %v, %v, want %v, %v", text, got, gotOK, want, ok)
		}
	}
	if _, ok := parseDotted(bytes.Clone([]byte(text))[:len(text):len(text)]); ok && len(text) < 16 {
		t.Fatalf("%q was read beyond its capacity", text)
	}
}

func BenchmarkParseDotted(b *testing.B) {
	var texts [][]byte
	for _, r := range mixedRecords(1 << 12) {
		at := bytes.Index(r, []byte(`"client_ip":"`)) + 13
		texts = append(texts, append(make([]byte, 0, 16), r[at:at+bytes.IndexByte(r[at:], 34)]...))
	}
	for name, parse := range map[string]func(b []byte) bool{
		"bytes": func(b []byte) bool { _, n := parseIPv4(b); return n == len(b) },
		"words": func(b []byte) bool { _, ok := parseDotted(b); return ok },
	} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if !parse(texts[i%len(texts)]) {
					b.Fatal("no address")
				}
			}
		})
	}
}
