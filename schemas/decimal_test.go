package schemas

import (
	"math/big"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestShortNumbers wants numbers that are read in the short way to be what the long way
// makes of them.
func TestShortNumbers(t *testing.T) {
	check := func(t rapid.TB, text string) {
		want, err := strconv.ParseFloat(text, 64)
		if got, ok := Float([]byte(text)); ok != (err == nil) || got != want && ok {
			t.Fatalf("Float(%q) = %g, %t; want %g", text, got, ok, want)
		}
		exact, isNumber := new(big.Rat).SetString(text)
		wantInt := isNumber && exact.IsInt() && exact.Num().IsInt64()
		if got, ok := Int([]byte(text)); ok != wantInt || ok && got != exact.Num().Int64() {
			t.Fatalf("Int(%q) = %d, %t; want %v", text, got, ok, exact)
		}
	}
	for _, text := range []string{"", "0", "0.0", "7", "12.", "1.5", "0.001", "1.2.3", "-1", "1e3", "999999999999999", "9999999999999999", "99999999999999.9", "999999999999999.9", "0.00000000000001"} {
		if text != "12." { // ParseFloat takes it, JSON does not have it
			check(t, text)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.StringMatching(`(0|[1-9][0-9]{0,17})(\.[0-9]{1,16})?`).Draw(t, "number"))
	})
}

func BenchmarkFloat(b *testing.B) {
	text := []byte("123.456")
	for b.Loop() {
		if _, ok := Float(text); !ok {
			b.Fatal("it is no number")
		}
	}
}
