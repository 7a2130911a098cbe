package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/apiwarden/apiwarden/cmd/apiwarden/traffic"
)

// reckoning is what a demo came to. Its JSON is fixed by contract.
type reckoning struct {
	Seconds        float64  `json:"seconds"` // of live traffic
	EventsProduced uint64   `json:"events_produced"`
	EventsStored   uint64   `json:"events_stored"`
	Verdicts       uint64   `json:"verdicts"`
	VerdictsStored uint64   `json:"verdicts_stored"`
	Bans           int      `json:"bans"`
	Attackers      []string `json:"attackers"`
	Banned         []string `json:"banned"`
	InnocentBanned []string `json:"innocent_banned"`
	Missed         []string `json:"missed"`
	DeadLettered   int      `json:"dead_lettered"`
	P99            float64  `json:"p99_event_to_verdict_ms"`

	badSent  uint64
	twice    uint64            // rows that are not yet merged; for people
	names    map[string]string // who an address is
	settled  bool              // everything was judged and stored in time
	pending  []string          // attackers who had not done enough when it was interrupted
	history  uint64
	live     uint64
	refused  uint64
	innocent int
}

// judgeActors sorts out who was banned and who should have been. An attacker of an
// interrupted demo who has not done enough yet is neither caught nor missed.
func (r *reckoning) judgeActors(attackers, innocents []traffic.Actor, banned []string, interrupted bool) {
	r.Attackers, r.Banned, r.InnocentBanned, r.Missed = []string{}, []string{}, []string{}, []string{}
	r.names = map[string]string{}
	evil := map[string]bool{}
	for _, a := range attackers {
		s := a.Addr.String()
		r.names[s] = a.Name
		caught := slices.Contains(banned, s)
		evil[s] = true
		switch {
		case slices.Contains(r.Attackers, s):
		case caught, a.Done, !interrupted:
			r.Attackers = append(r.Attackers, s)
			if !caught {
				r.Missed = append(r.Missed, s)
			}
		default:
			r.pending = append(r.pending, s)
		}
	}
	r.innocent = len(innocents)
	for _, a := range innocents {
		r.names[a.Addr.String()] = a.Name
	}
	for _, s := range banned {
		if evil[s] {
			r.Banned = append(r.Banned, s)
		} else {
			r.InnocentBanned = append(r.InnocentBanned, s)
		}
	}
}

// sound says whether everything is as it has to be.
func (r *reckoning) sound() bool {
	return r.settled && len(r.Missed) == 0 && len(r.InnocentBanned) == 0 &&
		r.EventsStored == r.EventsProduced && r.VerdictsStored == r.Verdicts && uint64(r.DeadLettered) == r.badSent
}

func (r *reckoning) write(file string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the summary: %w", err)
	}
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	return nil
}

// print writes r for a person.
func (r *reckoning) print(out io.Writer) {
	line := func(good bool, format string, args ...any) {
		mark := "ok  "
		if !good {
			mark = "FAIL"
		}
		fmt.Fprintf(out, "%s %s\n", mark, fmt.Sprintf(format, args...))
	}
	count := func(n uint64) string { return humanize.Comma(int64(n)) }
	fmt.Fprintf(out, "\n%s events (%s of history, %s in %s of live traffic, %s of them refused because of a ban)\n",
		count(r.EventsProduced), count(r.history), count(r.live), time.Duration(r.Seconds*float64(time.Second)).Round(time.Second), count(r.refused))
	if !r.settled {
		line(false, "detection or storage did not catch up in time")
	}
	line(len(r.Missed) == 0, "attackers: %d of %d banned%s", len(r.Attackers)-len(r.Missed), len(r.Attackers), r.who("; missed: ", r.Missed))
	if len(r.pending) > 0 {
		fmt.Fprintf(out, "     %d had only begun%s\n", len(r.pending), r.who(": ", r.pending))
	}
	line(len(r.InnocentBanned) == 0, "innocents: %d banned, of thousands of visitors and %d look-alikes%s", len(r.InnocentBanned), r.innocent, r.who("; banned: ", r.InnocentBanned))
	line(r.EventsStored == r.EventsProduced, "events: %s produced, %s in ClickHouse, each once", count(r.EventsProduced), count(r.EventsStored))
	line(r.VerdictsStored == r.Verdicts, "verdicts: %s published, %s in ClickHouse, each once; %d bans", count(r.Verdicts), count(r.VerdictsStored), r.Bans)
	line(uint64(r.DeadLettered) == r.badSent, "dead letters: %d, of %d bad records sent", r.DeadLettered, r.badSent)
	if r.P99 > 0 {
		fmt.Fprintf(out, "     from event to verdict seen by a subscriber: p99 %.0f ms\n", r.P99)
	}
	if r.twice > 0 {
		fmt.Fprintf(out, "     %s rows were delivered again and are merged by ClickHouse\n", count(r.twice))
	}
}

// who names addresses, after before.
func (r *reckoning) who(before string, addrs []string) string {
	if len(addrs) == 0 {
		return ""
	}
	var list []string
	for _, a := range addrs {
		name := r.names[a]
		if name == "" {
			name = "visitor"
		}
		list = append(list, a+" ("+name+")")
	}
	return before + strings.Join(list, ", ")
}
