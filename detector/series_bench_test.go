package detector

import "testing"

// BenchmarkSeries judges records of a series with a season, all that a series does.
func BenchmarkSeries(b *testing.B) {
	d := draw(60, byWeek)
	var s Series
	at := d.start.Unix()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Observe(at, d.values[i%len(d.values)])
		at += bucket
	}
}

// BenchmarkSeriesState encodes and restores a series.
func BenchmarkSeriesState(b *testing.B) {
	var s Series
	draw(3, byDay).judge(&s)
	var state []byte
	b.ReportAllocs()
	for b.Loop() {
		state = s.AppendState(state[:0])
		if err := s.RestoreState(state); err != nil {
			b.Fatal(err)
		}
	}
}
