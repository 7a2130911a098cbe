package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/dustin/go-humanize"
)

// table is the report for a terminal.
func (r *benchReport) table() string {
	rows := [][3]string{{"measured", "", "target"}}
	wide := 0
	for _, m := range r.Measures {
		rows = append(rows, [3]string{figure(m.Value) + " " + m.Unit, m.What, m.verdict()})
		wide = max(wide, lipgloss.Width(m.What))
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n\n", r.heading())
	section := ""
	for i, row := range rows {
		if i > 0 && r.Measures[i-1].Section != section {
			section = r.Measures[i-1].Section
			fmt.Fprintf(&out, "\n%s\n", section)
		}
		fmt.Fprintf(&out, "  %s%s  %s  %s\n", row[1], strings.Repeat(" ", wide-lipgloss.Width(row[1])), leftPad(row[0], 22), row[2])
	}
	return out.String()
}

func leftPad(s string, width int) string {
	return strings.Repeat(" ", max(0, width-lipgloss.Width(s))) + s
}

// heading says of what and where a report is.
func (r *benchReport) heading() string {
	text := fmt.Sprintf("apiwarden %s, commit %s, %s, %s, %d processors", r.Version, r.Commit, r.Go, r.OS, r.CPUs)
	if r.CPU != "" {
		text += " (" + r.CPU + ")"
	}
	if r.Kafka != "" {
		text += ", Kafka: " + r.Kafka
	}
	if r.Load >= 0.5 {
		text += fmt.Sprintf("; the machine was not idle before (load %.1f)", r.Load)
	}
	if r.Quick {
		text += "; a quick run: its figures are rough"
	}
	return text
}

// verdict is the target and whether it was met; empty where there is none.
func (m measure) verdict() string {
	switch {
	case m.Target == nil:
		return ""
	case *m.Met:
		return m.Target.String() + "  met"
	}
	return m.Target.String() + "  MISSED"
}

// figure writes a number with as many digits as say something.
func figure(v float64) string {
	switch abs := math.Abs(v); {
	case abs >= 1000:
		return humanize.Comma(int64(math.Round(v)))
	case abs >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case abs >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
