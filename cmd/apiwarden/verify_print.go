package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/apiwarden/apiwarden/consumer"
)

// shownFindings is how many differences a person is shown; --json has more.
const shownFindings = 20

// printVerified writes the report for a person.
func printVerified(w io.Writer, r *consumer.VerifyReport, verbose bool) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "judged %s events of %s once more in %.1f s, %s a second; they give %s\n",
		humanize.Comma(r.Events), r.Topic, r.Seconds, humanize.Comma(int64(r.EventsPerS)), english.Plural(int(r.Expected), "verdict", ""))
	if verbose {
		if err := printInForce(out, r); err != nil {
			return err
		}
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "compared\tmissing\textra\tdifferent\tunknown\trepeated\tforeign\t  in")
	for _, p := range r.Places {
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t  %s\n", p.Compared, p.Missing, p.Extra, p.Different, p.Unknown, p.Repeated, p.Foreign, p.Name)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	shown := r.Findings[:min(len(r.Findings), shownFindings)]
	for i := range shown {
		printFinding(out, &shown[i])
	}
	if more := r.Differences - int64(len(shown)); more > 0 {
		fmt.Fprintf(out, "and %s more\n", humanize.Comma(more))
	}
	for _, note := range r.Notes {
		fmt.Fprintln(out, "note:", note)
	}
	if r.Differences == 0 {
		fmt.Fprintln(out, "all agree")
	} else {
		fmt.Fprintln(out, english.Plural(int(r.Differences), "difference", ""))
	}
	return out.Flush()
}

func printFinding(w io.Writer, f *consumer.Finding) {
	fmt.Fprintf(w, "%s in %s: rule %s, %s %s, at %s", f.Kind, f.Place, f.RuleID, f.Scope, f.Subject, f.EventTime)
	if f.Trigger != nil {
		fmt.Fprintf(w, ", trigger %s/%d@%d", f.Trigger.Topic, f.Trigger.Partition, f.Trigger.Offset)
	}
	if f.At != "" {
		fmt.Fprintf(w, ", found at %s", f.At)
	}
	fmt.Fprintf(w, ", id %s\n", f.VerdictID)
	for _, d := range f.Fields {
		fmt.Fprintf(w, "    %s is %s, the log gives %s\n", d.Field, fieldText(d.Got), fieldText(d.Want))
	}
}

// fieldText gives a field's JSON, or what stands for a field that is not there.
func fieldText(json []byte) string {
	if json == nil {
		return "absent"
	}
	return string(json)
}

// printInForce lists the rule sets, and what held in each partition.
func printInForce(w io.Writer, r *consumer.VerifyReport) error {
	for _, hash := range slices.Sorted(maps.Keys(r.RuleSets)) {
		fmt.Fprintf(w, "rules %s: %s\n", hash, strings.Join(r.RuleSets[hash], ", "))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PARTITION\tJUDGED\tFROM OFFSET\tWRITTEN\tHOLDS")
	for _, p := range r.Partitions {
		for _, f := range p.InForce {
			written := "-"
			if f.At != nil {
				written = f.At.String()
			}
			fmt.Fprintf(t, "%d\t%d to %d\t%d\t%s\t%s\n", p.Partition, p.From, p.Until, f.Offset, written, describeInForce(&f))
		}
	}
	return t.Flush()
}

func describeInForce(f *consumer.InForce) string {
	var parts []string
	if f.Rules != "" {
		parts = append(parts, "rules "+f.Rules)
	}
	if f.Bytes != 0 {
		parts = append(parts, fmt.Sprintf("%s and %d endpoints a shard", humanize.IBytes(uint64(f.Bytes)), f.Endpoints))
	}
	if f.Control != nil {
		parts = append(parts, fmt.Sprintf("%s %s by %s", f.Control.Op, f.Subject, f.Control.By))
	}
	return strings.Join(parts, ", ")
}
