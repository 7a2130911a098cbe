package detector

import (
	"errors"
	"math"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// TestSeriesSize holds what was promised: 2 KiB, in memory and encoded.
func TestSeriesSize(t *testing.T) {
	if n := unsafe.Sizeof(Series{}); n > 2048 {
		t.Errorf("a series is %d bytes in memory", n)
	}
	if n := len(new(Series).AppendState(nil)); n > 2048 {
		t.Errorf("a series is %d bytes encoded", n)
	}
}

// TestSeriesGoesOn: cut anywhere and restored, a series finds what it would have found.
func TestSeriesGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOfN(rapid.Int64Range(-3600, 90000), 1, 2000).Draw(t, "steps")
		value := rapid.OneOf(rapid.Float64(), rapid.Float64Range(0, 100), rapid.Just(0.))
		cut := rapid.IntRange(0, len(steps)).Draw(t, "cut")
		var whole, restored Series
		at := rapid.Int64().Draw(t, "start")
		for i, step := range steps {
			if i == cut {
				state := whole.AppendState([]byte("before"))
				if err := restored.RestoreState(state[len("before"):]); err != nil {
					t.Fatal(err)
				}
			}
			at += step
			v := value.Draw(t, "value")
			want := whole.Observe(at, v)
			if !(want.Score >= 0 && want.Score <= 1) || math.IsNaN(want.Deviation) {
				t.Fatalf("record %d: score %v, deviation %v", i, want.Score, want.Deviation)
			}
			if i >= cut {
				if got := restored.Observe(at, v); got != want {
					t.Fatalf("record %d: %+v restored, %+v whole", i, got, want)
				}
			}
		}
	})
}

func TestSeriesStateIsRefused(t *testing.T) {
	var s Series
	draw(3, byDay).judge(&s)
	good := s.AppendState(nil)
	other := append([]byte{seriesVersion + 1}, good[1:]...)
	negative := append([]byte(nil), good...)
	negative[8] = 0x80 // the sign of the number of records
	before := s
	for name, b := range map[string][]byte{"empty": nil, "cut": good[:100], "long": append(good, 0), "negative": negative, "other": other} {
		err := s.RestoreState(b)
		if err == nil || errors.Is(err, ErrSeriesVersion) != (name == "other") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s != before {
		t.Error("a state that was refused has changed the series")
	}
}

// FuzzSeriesState: whatever is restored, judging goes on.
func FuzzSeriesState(f *testing.F) {
	var s Series
	draw(3, byDay).judge(&s)
	f.Add(s.AppendState(nil), int64(1e9), 5.)
	f.Fuzz(func(t *testing.T, state []byte, at int64, v float64) {
		var s Series
		if s.RestoreState(state) != nil {
			return
		}
		for i := range int64(3) {
			finding := s.Observe(at+i*bucket, v)
			_ = finding.Sentence("requests", "a minute")
		}
	})
}
