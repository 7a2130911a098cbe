package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// replaySummary counts what a replay saw.
type replaySummary struct {
	lines       int64
	rejected    map[schemas.Reason]int64
	verdicts    map[string]int64 // by action taken
	subjects    map[string]struct{}
	bans, ends  int64
	stats       detector.Stats
	took        time.Duration
	interrupted bool
}

func (s *replaySummary) reject(r schemas.Reason) {
	if s.rejected == nil {
		s.rejected = map[schemas.Reason]int64{}
	}
	s.rejected[r]++
}

func (s *replaySummary) verdict(v *schemas.Verdict) {
	if s.verdicts == nil {
		s.verdicts, s.subjects = map[string]int64{}, map[string]struct{}{}
	}
	s.verdicts[v.ActionTaken]++
	s.subjects[v.Subject] = struct{}{}
}

func (s *replaySummary) change(c *schemas.BanChange) {
	if c.End {
		s.ends++
	} else {
		s.bans++
	}
}

// print writes the summary for a person.
func (s *replaySummary) print(w io.Writer, name string) {
	var rejected, verdicts int64
	for _, n := range s.rejected {
		rejected += n
	}
	for _, n := range s.verdicts {
		verdicts += n
	}
	until := ""
	if s.interrupted {
		until = " until it was interrupted"
	}
	rate := float64(s.lines) / max(s.took.Seconds(), 1e-6)
	fmt.Fprintf(w, "replayed %s%s in %s: %s (%s/s), %d accepted, %d dead-lettered%s\n", name, until,
		s.took.Round(time.Millisecond), counted(s.lines, "line"), humanize.SIWithDigits(rate, 1, ""), s.lines-rejected, rejected, counts(s.rejected))
	fmt.Fprintf(w, "%s%s about %s; bans and throttles: %d published, %d ended\n",
		counted(verdicts, "verdict"), counts(s.verdicts), counted(int64(len(s.subjects)), "subject"), s.bans, s.ends)
	for _, note := range []struct {
		n    uint64
		text string
	}{
		{s.stats.LateEvents, "events were too late to be counted (lateness of the rules file)"},
		{s.stats.NotEvaluated, "times a rule could not look at an event, for it has no response body or not all of it"},
		{s.stats.IgnoredClaims, "events claimed a forwarded address without coming from a trusted proxy"},
		{s.stats.Evicted, "subjects were given up for lack of memory"},
	} {
		if note.n > 0 {
			fmt.Fprintf(w, "%d %s\n", note.n, note.text)
		}
	}
}

// counted writes "1 line", "2 lines".
func counted(n int64, noun string) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(int(n), noun, ""))
}

// counts writes " (a 1, b 2)", "" where there is nothing to say.
func counts[K ~string](m map[K]int64) string {
	if len(m) == 0 {
		return ""
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
