package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apiwarden/apiwarden/detector"
)

// judgeSeries judges the series that in holds, under the name that errors tell, and
// writes one line a record to out.
func judgeSeries(o baselineOptions, name string, in io.Reader, out io.Writer) (seriesSummary, error) {
	sum := seriesSummary{kinds: map[detector.SeriesKind]int{}}
	r := csv.NewReader(in)
	r.ReuseRecord = true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return sum, fmt.Errorf("%s:1: it is empty: a line with the names of columns is missing", name)
	}
	if err != nil {
		return sum, csvError(name, err)
	}
	header = slices.Clone(header) // the reader uses its own again
	timeAt, err := columnOf(header, o.timeColumn, "--time-column")
	if err != nil {
		return sum, fmt.Errorf("%s:1: %w", name, err)
	}
	valueAt, err := columnOf(header, o.valueColumn, "--value-column")
	if err != nil {
		return sum, fmt.Errorf("%s:1: %w", name, err)
	}

	w := csv.NewWriter(out)
	write := func(fields ...string) {
		_ = w.Write(fields) // kept by w, and told by w.Error
	}
	write("timestamp", "value", "anomaly_score", "alert", "kind")
	var series detector.Series
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return sum, csvError(name, err)
		}
		line, _ := r.FieldPos(valueAt)
		at, err := seriesTime(row[timeAt])
		if err != nil {
			return sum, fmt.Errorf("%s:%d: column %s: %w", name, line, header[timeAt], err)
		}
		value, err := seriesValue(row[valueAt])
		if err != nil {
			return sum, fmt.Errorf("%s:%d: column %s: %w", name, line, header[valueAt], err)
		}
		f := series.Observe(at, value)
		sum.add(value, f.Kind)
		alert := "0"
		if f.Kind != detector.SeriesNothing {
			alert = "1"
		}
		write(row[timeAt], row[valueAt], strconv.FormatFloat(f.Score, 'f', 6, 64), alert, f.Kind.String())
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return sum, fmt.Errorf("writing what was found in %s: %w", name, err)
	}
	return sum, nil
}

// csvError names the file of an error, which names the line.
func csvError(name string, err error) error {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("%s:%d: %w", name, parse.Line, parse.Err)
	}
	return fmt.Errorf("reading %s: %w", name, err)
}

// columnOf finds a column by its name; by its name in other case where there is one such.
func columnOf(header []string, name, flag string) (int, error) {
	found := -1
	for i, h := range header {
		h = strings.TrimPrefix(h, "\ufeff") // what spreadsheets put in front
		if h == name {
			return i, nil
		}
		if strings.EqualFold(h, name) {
			if found >= 0 {
				return 0, fmt.Errorf("both %s and %s could be %s: write it as it stands there", header[found], h, flag)
			}
			found = i
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("there is no column %q: name it with %s (there are %s)", name, flag, strings.Join(header, ", "))
	}
	return found, nil
}

// seriesValue reads a value; NaN stands for none.
func seriesValue(text string) (float64, error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.EqualFold(text, "null") {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return v, nil
}

// seriesTime reads a time, in s. A zone is left out of account: the hours of a day are
// those that are written. The unit of an epoch is told by its size.
func seriesTime(text string) (int64, error) {
	text = strings.TrimSpace(text)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil { // with a fraction too
			_, offset := t.Zone()
			return t.Unix() + int64(offset), nil
		}
	}
	epoch, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(epoch) || math.Abs(epoch) > math.MaxInt64 {
		return 0, fmt.Errorf("%q is no time: write it as 2006-01-02 15:04:05, in RFC 3339 or as an epoch", text)
	}
	for math.Abs(epoch) >= 1e11 { // s until the year 5138
		epoch /= 1000
	}
	return int64(math.Floor(epoch)), nil
}

// seriesSummary counts what was found in one series.
type seriesSummary struct {
	records int
	missing int
	kinds   map[detector.SeriesKind]int
}

func (s *seriesSummary) add(value float64, kind detector.SeriesKind) {
	s.records++
	if math.IsNaN(value) {
		s.missing++
	}
	s.kinds[kind]++
}

// line is what is printed about a file.
func (s *seriesSummary) line(file string) string {
	return fmt.Sprintf("%s: %d records (%d without a value), alerts: %d new, %d large, %d quiet", file, s.records, s.missing,
		s.kinds[detector.SeriesNew], s.kinds[detector.SeriesLarge], s.kinds[detector.SeriesQuiet])
}
