package detector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// drawn is a series of buckets of five minutes, drawn to show one thing.
type drawn struct {
	start  time.Time
	values []float64 // NaN: the bucket is missing
}

const (
	bucket  = 300           // s
	perHour = 3600 / bucket // buckets
	perDay  = 24 * perHour
)

// draw makes a series of so many days from a function of the bucket's number, the hour
// of the day, and noise of mean 0 and deviation 1.
func draw(days float64, value func(i int, hour, noise float64) float64) drawn {
	d := drawn{start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)} // a Monday
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range int(days * perDay) {
		d.values = append(d.values, value(i, float64(i%perDay)/perHour, rng.NormFloat64()))
	}
	return d
}

// told is one finding, and at which bucket.
type told struct {
	At int
	SeriesFinding
}

func (d drawn) judge(s *Series) []told {
	var all []told
	for i, v := range d.values {
		if f := s.Observe(d.start.Unix()+int64(i)*bucket, v); f.Kind != SeriesNothing {
			all = append(all, told{i, f})
		}
	}
	return all
}

// byDay is traffic with a night and a day: 50 to 150, and noise of 5.
func byDay(_ int, hour, noise float64) float64 {
	return 100 - 50*math.Cos(2*math.Pi*hour/24) + 5*noise
}

// weekends are quieter than other days.
func byWeek(i int, hour, noise float64) float64 {
	if i/perDay%7 >= 5 {
		return 0.4 * byDay(i, hour, noise)
	}
	return byDay(i, hour, noise)
}

func flat(_ int, _, noise float64) float64 { return 100 + 10*noise }

// replaced is a series with some buckets changed.
func replaced(value func(int, float64, float64) float64, from, to int, by func(v float64) float64) func(int, float64, float64) float64 {
	return func(i int, hour, noise float64) float64 {
		v := value(i, hour, noise)
		if i >= from && i < to {
			return by(v)
		}
		return v
	}
}

func constant(x float64) func(float64) float64 { return func(float64) float64 { return x } }
func times(x float64) func(float64) float64    { return func(v float64) float64 { return x * v } }

// TestSeriesDrawn shows what is found in series that are drawn to show it. Findings
// before the bucket settled are not looked at: what is new in the first days is.
func TestSeriesDrawn(t *testing.T) {
	const noon, midnight = 20*perDay + 12*perHour, 20 * perDay
	const never = 1 << 30
	shift := func(v float64) func(int, float64, float64) float64 { return replaced(flat, 2500, never, times(v)) }
	for _, c := range []struct {
		name    string
		days    float64
		value   func(int, float64, float64) float64
		settled int
		want    []string // "bucket kind" of each finding
	}{
		{"a cold start, whatever comes", 1, replaced(flat, 10, 25, times(9)), 0, nil},
		{"noise, from the start", 3, flat, 0, nil},
		{"a constant", 10, func(int, float64, float64) float64 { return 7 }, 0, nil},
		{"always nothing", 10, func(int, float64, float64) float64 { return 0 }, 0, nil},
		{"the first ever", 10, replaced(func(int, float64, float64) float64 { return 0 }, 2000, 2001, constant(3)), 0, []string{"2000 new"}},
		{"a constant that grows by half", 20, replaced(func(int, float64, float64) float64 { return 100 }, 2000, never, constant(150)), 0, []string{"2000 new"}},
		{"a constant that grows by a hundredth", 20, replaced(func(int, float64, float64) float64 { return 100 }, 2000, never, constant(101)), 0, nil},
		{"negative values", 10, replaced(func(i int, h, n float64) float64 { return -flat(i, h, n) }, 2500, 2501, times(4)), 2000, []string{"2500 quiet"}},
		{"a counter that is reset each three days", 30, func(i int, _, _ float64) float64 { return float64(i % 1000) }, 2001,
			[]string{"3000 quiet", "4000 quiet", "5000 quiet", "6000 quiet", "7000 quiet", "8000 quiet"}}, // once a reset, and nothing of the climb
		{"a counter that is never reset", 30, func(i int, _, _ float64) float64 { return float64(i) }, 2001, nil},
		{"three times as much from now on", 20, shift(3), 2000, []string{"2500 new"}},
		{"thirty times as much from now on", 20, shift(30), 2000, []string{"2500 new"}},
		{"a third from now on", 20, shift(1. / 3), 2000, []string{"2500 quiet"}},
		{"days", 30, byDay, perDay, nil},
		{"silence at noon", 30, replaced(byDay, noon, noon+24, constant(0)), perDay, []string{"5904 quiet"}},
		{"what nights are like, at noon", 30, replaced(byDay, noon, noon+24, constant(50)), perDay, []string{"5904 quiet"}},
		{"what noons are like, at night", 30, replaced(byDay, midnight, midnight+24, constant(140)), perDay, []string{"5760 new"}},
		{"weeks", 56, byWeek, 7 * perDay, nil},
		{"a Sunday like a Monday", 56, func(i int, h, n float64) float64 {
			if i/perDay == 48 {
				return byDay(i, h, n)
			}
			return byWeek(i, h, n)
		}, 7 * perDay, []string{"13920 new"}},
		{"clocks set forward", 40, func(i int, h, n float64) float64 {
			if i > midnight {
				h++
			}
			return byDay(i, h, n)
		}, perDay, nil},
		{"clocks set back", 40, func(i int, h, n float64) float64 {
			if i > midnight {
				h--
			}
			return byDay(i, h, n)
		}, perDay, nil},
		{"a giant, and what it must not hide", 12, replaced(replaced(flat, 2000, 2001, constant(1e9)), 2600, 2601, constant(400)), 1500, []string{"2000 new", "2600 new"}},
		{"buckets that are missing, single ones and two days", 30, func(i int, h, n float64) float64 {
			if i%3 == 0 || i > 3000 && i < 3600 {
				return math.NaN()
			}
			return byDay(i, h, n)
		}, perDay, nil},
		{"a ramp, fivefold in a month", 30, func(i int, h, n float64) float64 { return flat(i, h, n) + float64(i)/20 }, 5 * perDay, nil},
		{"a ramp, fivefold in three hours", 30, func(i int, h, n float64) float64 {
			return flat(i, h, n) * (1 + 4*max(0, min(1, float64(i-2500)/36)))
		}, 2000, []string{"2504 new"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, x := range draw(c.days, c.value).judge(new(Series)) {
				if x.At >= c.settled {
					got = append(got, fmt.Sprint(x.At, " ", x.Kind))
				}
				if x.Score <= 0 || x.Score > 1 {
					t.Errorf("bucket %d: score %v", x.At, x.Score)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSeriesOfRareThings: where one bucket in twenty has something, something is
// nothing to report, but ten at once are.
func TestSeriesOfRareThings(t *testing.T) {
	var s Series
	rng := rand.New(rand.NewPCG(3, 4))
	found := 0
	for i := range int64(30 * perDay) {
		if s.ObserveCount(i*bucket, float64(rng.IntN(20)/19)).Kind != SeriesNothing {
			found++
		}
	}
	if found > 0 {
		t.Errorf("%d findings in counts of 0 and 1, want none", found)
	}
	if f := s.ObserveCount(30*perDay*bucket, 10); f.Kind != SeriesNew {
		t.Errorf("ten at once: %q, want new", f.Kind)
	}
}

// TestSeriesOfShares: a share is worth what its denominator is.
func TestSeriesOfShares(t *testing.T) {
	var s Series
	rng := rand.New(rand.NewPCG(3, 4))
	at := int64(0)
	for range 3000 {
		if f := s.ObserveShare(at, float64(rng.IntN(5))/1000, 1000); f.Kind != SeriesNothing {
			t.Fatalf("%q in a share of at most 0.4 %%: %s", f.Kind, f.Sentence("errors", ""))
		}
		at += bucket
	}
	for _, c := range []struct {
		share, requests float64
		want            SeriesKind
	}{
		{1, 0, SeriesNothing},
		{math.NaN(), 10, SeriesNothing},
		{1, 1, SeriesNothing},
		{0.01, 1000, SeriesNothing},
		{0.3, 300, SeriesNew},
		{1, 20, SeriesNew},
	} {
		one := s
		if f := one.ObserveShare(at, c.share, c.requests); f.Kind != c.want {
			t.Errorf("%g of %g requests: %q (%s), want %q", c.share, c.requests, f.Kind, f.Sentence("errors", ""), c.want)
		}
	}
}

func TestSeriesSentences(t *testing.T) {
	for _, c := range []struct {
		value func(int, float64, float64) float64
		want  string
	}{
		{replaced(byDay, 5904, 5905, constant(0)), "requests of POST /pay: 0 a minute; the last 20 days (5904 records) had 34.9 to 165 a minute"},
	} {
		var last told
		for _, x := range draw(21, c.value).judge(new(Series)) {
			last = x
		}
		if got := last.Sentence("requests of POST /pay", "a minute"); got != c.want {
			t.Errorf("sentence\n got %s\nwant %s", got, c.want)
		}
	}
}

// TestSeriesLeavesOut: what is no number changes nothing.
func TestSeriesLeavesOut(t *testing.T) {
	var s Series
	draw(2, byDay).judge(&s)
	before := s
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e300} {
		if f := s.Observe(1e9, v); f != (SeriesFinding{}) {
			t.Errorf("%v: %+v", v, f)
		}
	}
	if s != before {
		t.Error("the series has learned what is no number")
	}
}
