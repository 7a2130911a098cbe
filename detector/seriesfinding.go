package detector

import (
	"fmt"
	"math"
	"strings"
)

// SeriesKind says what a record of a series is.
type SeriesKind uint8

// What a record can be.
const (
	SeriesNothing SeriesKind = iota
	SeriesNew                // outside of everything seen for long
	SeriesLarge              // far from usual, though seen before
	SeriesQuiet              // either, downwards
)

// String is the kind's name in output; that of SeriesNothing is empty.
func (k SeriesKind) String() string {
	return [...]string{"", "new", "large", "quiet"}[k]
}

// SeriesFinding is what was found about one record. Its kind is SeriesNothing where
// nothing begins: later records of what has been reported are nothing too.
type SeriesFinding struct {
	Kind      SeriesKind
	Score     float64 // 0..1: above 0.5 outside of everything seen, 0 where Kind is SeriesNothing
	Value     float64 // observed
	Usual     float64 // what was expected
	Deviation float64 // how far from it, in standard deviations, widened; negative: under it
	Seasonal  bool    // Usual is that of this hour of the day
	Samples   int64   // records that were remembered
	Span      float64 // of time that they cover, s

	excess    float64 // how far the farthest feature left its range, in widths of it
	feature   int     // the first one that left it by newExcess
	observed  float64 // its value
	known     bool    // it is a distance to the level of the hour and not to the slow mean
	low, high float64 // its range
}

// Sentence explains the finding to a person. of is what was measured, such as
// "requests of POST /pay", unit what follows a number, such as "a minute"; it may be
// empty. For SeriesNothing the sentence is empty.
func (f *SeriesFinding) Sentence(of, unit string) string {
	if f.Kind == SeriesNothing {
		return ""
	}
	unit = spacedUnit(unit)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s%s; ", of, threeDigits(f.Value), unit)
	behind := fmt.Sprintf("the last %s (%d records)", spanOfTime(f.Span), f.Samples)
	if f.excess > newExcess {
		low, high := threeDigits(f.low), threeDigits(f.high)
		switch f.feature {
		case featureValue:
			fmt.Fprintf(&b, "%s had %s to %s%s", behind, low, high, unit)
		case featureRecent:
			fmt.Fprintf(&b, "the mean of the last %d records is %s%s, %s had %s to %s%s", seriesRecent, threeDigits(f.observed), unit, behind, low, high, unit)
		default:
			when := " lately"
			switch {
			case f.known && f.feature == featureDay:
				when = " for the hour of the day"
			case f.known:
				when = " for the hour of the week"
			}
			fmt.Fprintf(&b, "usual%s is %s%s, and %s were %s to %s off what was usual then", when, threeDigits(f.Value-f.observed), unit, behind, signed(f.low), signed(f.high))
		}
		return b.String()
	}
	when := ""
	if f.Seasonal {
		when = " for the hour of the day"
	}
	fmt.Fprintf(&b, "usual%s is %s%s, which is %s standard deviations away, after %s", when, threeDigits(f.Usual), unit, threeDigits(math.Min(math.Abs(f.Deviation), 100)), behind)
	return b.String()
}

// scaled is the finding in other units of its value.
func (f *SeriesFinding) scaled(by float64) SeriesFinding {
	g := *f
	for _, x := range [...]*float64{&g.Value, &g.Usual, &g.observed, &g.low, &g.high} {
		*x *= by
	}
	return g
}

// spacedUnit is a unit as it follows a number.
func spacedUnit(unit string) string {
	if unit == "" || unit[0] == '%' {
		return unit
	}
	return " " + unit
}

// threeDigits writes a number with three digits, and with all that stand before the point.
func threeDigits(x float64) string {
	if a := math.Abs(x); a >= 1000 && a < 1e15 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}

func signed(x float64) string {
	if x >= 0 {
		return "+" + threeDigits(x)
	}
	return threeDigits(x)
}

// spanOfTime writes seconds in the unit that suits them.
func spanOfTime(s float64) string {
	for _, u := range []struct {
		seconds float64
		name    string
	}{{86400, "days"}, {3600, "hours"}, {60, "minutes"}} {
		if s >= 2*u.seconds {
			return fmt.Sprintf("%.0f %s", s/u.seconds, u.name)
		}
	}
	return fmt.Sprintf("%.0f seconds", s)
}
