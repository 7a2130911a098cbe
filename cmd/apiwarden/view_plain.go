package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
)

const plainEvery = 2 * time.Second

// runPlain writes a scene as lines of text, a block every two seconds, until ctx
// ends: the numbers, and each verdict once.
func runPlain(ctx context.Context, out io.Writer, look func() scene) {
	tick := time.NewTicker(plainEvery)
	defer tick.Stop()
	var p plain
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.write(out, look())
		}
	}
}

// plain remembers what was written.
type plain struct {
	shown int // verdicts
	ended time.Time
}

// mostPlain is how many verdicts a block shows at most.
const mostPlain = 12

func (p *plain) write(out io.Writer, s scene) {
	age := "-"
	if s.hasP99 {
		age = millis(s.p99)
	}
	fmt.Fprintf(out, "%-8s %s  produced %s (%s/s)  detected %s (%s/s)  stored %s (%s/s)  lag %s/%s  verdicts %d  enforced %d  p99 %s\n",
		s.phase, clock(s.elapsed),
		humanize.Comma(int64(s.produced.total)), humanize.Comma(int64(s.produced.rate())),
		humanize.Comma(int64(s.detected.total)), humanize.Comma(int64(s.detected.rate())),
		humanize.Comma(int64(s.stored.total)), humanize.Comma(int64(s.stored.rate())),
		humanize.Comma(s.lagDetect), humanize.Comma(s.lagStore), s.verdicts, s.bansLive, age)
	fresh := s.verdicts - p.shown
	p.shown = s.verdicts
	for _, v := range slices.Backward(s.latest[:min(fresh, mostPlain, len(s.latest))]) {
		fmt.Fprintf(out, "  %s %-8s %-21s %s\n", v.EventTime.Time().Format("15:04:05"), v.ActionTaken, v.RuleID, v.Details)
	}
	if fresh > mostPlain {
		fmt.Fprintf(out, "  and %d before them\n", fresh-mostPlain)
	}
	for _, e := range slices.Backward(s.ended) {
		if e.at.After(p.ended) {
			p.ended = e.at
			fmt.Fprintf(out, "  %s end      %-21s %s of %s\n", e.at.UTC().Format("15:04:05"), e.ban.RuleIDs[0], e.ban.Action, e.ban.Value)
		}
	}
	if s.warning != "" {
		fmt.Fprintf(out, "  %s\n", s.warning)
	}
}
