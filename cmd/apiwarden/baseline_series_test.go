package main

import (
	"bytes"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

// How events of the Microsoft series are counted.
const (
	labelGap   = 6   // labels at most this many records apart are one event
	alertGap   = 12  // records without an alert that end an episode
	eventsFrom = 200 // records before this one do not count
)

// eventCount counts alert episodes and labelled events of series.
type eventCount struct {
	episodes, right int
	events, found   int
}

// f1 is the harmonic mean of the precision of episodes and the recall of events.
func (c eventCount) f1() float64 {
	precision, recall := float64(c.right)/float64(c.episodes), float64(c.found)/float64(c.events)
	return 2 * precision * recall / (precision + recall)
}

// add counts a series by its alerts and labels. An episode is right when it starts
// within an event, one record before it, or two after it.
func (c *eventCount) add(alerts, labels []bool) {
	type event struct {
		first, last int
		found       bool
	}
	var events []event
	for i, labelled := range labels {
		if !labelled || i < eventsFrom {
			continue
		}
		if k := len(events) - 1; k >= 0 && i-events[k].last <= labelGap {
			events[k].last = i
		} else {
			events = append(events, event{first: i, last: i})
		}
	}
	last := -alertGap - 1
	for i, alert := range alerts {
		if !alert {
			continue
		}
		starts := i-last > alertGap
		last = i
		if !starts || i < eventsFrom {
			continue
		}
		c.episodes++
		right := false
		for k := range events {
			if i >= events[k].first-1 && i <= events[k].last+2 {
				right, events[k].found = true, true
			}
		}
		if right {
			c.right++
		}
	}
	c.events += len(events)
	for _, e := range events {
		if e.found {
			c.found++
		}
	}
}

// csvRows reads a CSV file without its first line.
func csvRows(t *testing.T, r io.Reader) [][]string {
	t.Helper()
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

// TestBaselineMicrosoftEvents judges the series of Microsoft's cloud monitoring that are
// here and holds the figure that docs/BASELINES.md tells. `make bench-baselines` prints it.
func TestBaselineMicrosoftEvents(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(dev.Shared(t), "data", "series", "microsoft", "data", "*", "*.csv"))
	if err != nil || len(files) == 0 {
		dev.Missing(t, "series of Microsoft's cloud monitoring")
	}
	byCategory := map[string]*eventCount{}
	var all eventCount
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := judgeSeries(baselineOptions{valueColumn: "Value", timeColumn: "TimeStamp"}, file, bytes.NewReader(raw), &out); err != nil {
			t.Fatal(err)
		}
		found := csvRows(t, &out)
		var alerts, labels []bool
		for i, row := range csvRows(t, bytes.NewReader(raw)) {
			if row[1] != "" {
				alerts = append(alerts, found[i][3] == "1")
				labels = append(labels, row[2] == "1")
			}
		}
		category := filepath.Base(filepath.Dir(file))
		if byCategory[category] == nil {
			byCategory[category] = &eventCount{}
		}
		byCategory[category].add(alerts, labels)
		all.add(alerts, labels)
	}
	t.Logf("%-36s %5s %9s %9s", "Microsoft, shown", "F1", "right", "found")
	for _, file := range files {
		category := filepath.Base(filepath.Dir(file))
		if c := byCategory[category]; c != nil {
			t.Logf("%-36s %5.2f %4d/%4d %4d/%4d", category, c.f1(), c.right, c.episodes, c.found, c.events)
			delete(byCategory, category)
		}
	}
	t.Logf("%-36s %5.2f %4d/%4d %4d/%4d", "all", all.f1(), all.right, all.episodes, all.found, all.events)
	if all.f1() < 0.60 {
		t.Errorf("event F1 %.3f, want at least 0.60", all.f1())
	}
}
