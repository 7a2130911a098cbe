package detector

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawn is a series of buckets of five minutes, drawn to show one thing.
type drawn struct {
	start  time.Time
	values []float64 // NaN: the bucket is missing
}

const (
	bucket  = 300          // s
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

func TestZZ(t *testing.T) {
	show := func(name string, d drawn) {
		var s Series
		fmt.Println("==", name)
		for _, x := range d.judge(&s) {
			fmt.Printf("  day %.2f %d %v %.2f %s\n", float64(x.At)/perDay, x.At, x.Kind, x.Score, x.Sentence("requests of POST /pay", "a bucket"))
		}
	}
	show("cold start big noise", draw(2, func(i int, h, n float64) float64 { return 100 + 10*n }))
	show("flat noise 30d", draw(30, func(i int, h, n float64) float64 { return 100 + 10*n }))
	show("lognormal 30d", draw(30, func(i int, h, n float64) float64 { return 100 * math.Exp(0.5*n) }))
	show("constant", draw(10, func(i int, h, n float64) float64 { return 7 }))
	show("zero", draw(10, func(i int, h, n float64) float64 { if i == 2000 {return 1}; return 0 }))
	show("constant then +50%", draw(10, func(i int, h, n float64) float64 { if i > 2000 {return 150}; return 100 }))
	show("counter resets", draw(10, func(i int, h, n float64) float64 { return float64(i%1000) * 10 }))
	show("shift x3", draw(20, func(i int, h, n float64) float64 { if i > 2000 {return 300 + 10*n}; return 100 + 10*n }))
	show("shift /3", draw(20, func(i int, h, n float64) float64 { if i > 2000 {return 33 + 3*n}; return 100 + 10*n }))
	show("daily", draw(30, byDay))
	show("daily, silent noon day 20", draw(30, func(i int, h, n float64) float64 { if i >= 20*perDay+144 && i < 20*perDay+168 {return 0}; return byDay(i, h, n) }))
	show("daily, quiet noon (night level) day 20", draw(30, func(i int, h, n float64) float64 { if i >= 20*perDay+144 && i < 20*perDay+168 {return 50}; return byDay(i, h, n) }))
	show("daily, busy night day 20", draw(30, func(i int, h, n float64) float64 { if i >= 20*perDay && i < 20*perDay+12 {return 140}; return byDay(i, h, n) }))
	wk := func(i int, h, n float64) float64 { v := byDay(i, h, n); if (i/perDay)%7 >= 5 { v *= 0.4 }; return v }
	show("weekly 8 weeks", draw(56, wk))
	show("weekly, sunday busy", draw(56, func(i int, h, n float64) float64 { if i/perDay == 48 {return byDay(i, h, n)}; return wk(i, h, n) }))
	show("dst", draw(40, func(i int, h, n float64) float64 { if i > 20*perDay { h = math.Mod(h+1, 24) }; return byDay(i, h, n) }))
	show("giant", draw(10, func(i int, h, n float64) float64 { if i == 1000 {return 1e9}; if i == 2000 {return 400}; return 100 + 10*n }))
	show("ramp", draw(30, func(i int, h, n float64) float64 { return 100 + float64(i)*0.05 + 10*n }))
	show("missing", draw(30, func(i int, h, n float64) float64 { if i%3 == 0 || i > 3000 && i < 3500 {return math.NaN()}; return byDay(i, h, n) }))
	rng := rand.New(rand.NewPCG(5, 6))
	pois := func(l float64) float64 { k, p := 0, 1.0; for { p *= rng.Float64(); if p < math.Exp(-l) {return float64(k)}; k++ } }
	for _, l := range []float64{0.05, 1, 5, 20} { show(fmt.Sprint("poisson ", l), draw(30, func(i int, h, n float64) float64 { return pois(l) })) }
	_ = bytes.Equal; _ = errors.Is; _ = strings.Join; _ = unsafe.Sizeof(0); _ = cmp.Diff; _ = rapid.Check
}
