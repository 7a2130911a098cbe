package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/cmd/apiwarden/traffic"
	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/schemas"
)

// learnedRules are one rule of each learned type, for all endpoints.
const learnedRules = `version: 1
rules:
  - {id: slow, type: latency, action: alert}
  - {id: traffic, type: rate, action: alert}
  - {id: answers, type: status_mix, action: alert}
  - {id: first, type: unseen}
  - {id: large, type: size, action: alert}
  - {id: long, type: size, metric: query, action: alert}
  - {id: big, type: size, metric: response, action: alert}
  - {id: greedy, type: outlier, metric: requests, action: alert}
  - {id: costly, type: outlier, metric: cost, action: alert}
`

// TestQuietWeek replays a week of the demo's innocents: learned rules keep quiet about
// them. At most one episode in 100 days of an endpoint is allowed. With
// APIWARDEN_TEST_FULL=1 it is twelve weeks of several sizes, the figure of docs/BASELINES.md.
func TestQuietWeek(t *testing.T) {
	sizes := []int{700_000}
	if os.Getenv("APIWARDEN_TEST_FULL") != "" {
		sizes = slices.Repeat([]int{250_000, 700_000, 2_000_000}, 4)
	}
	const days, endpoints = 7, 17 // the shop's: site.go, and what it does not have
	opened := 0
	for i, events := range sizes {
		for _, v := range replayOfWritten(t, learnedRules, innocentWeek(uint64(i+1), days, events)) {
			if v.Phase == schemas.PhaseOpen {
				opened++
				t.Logf("week %d: %s %s: %s", i+1, v.EventTime, v.RuleID, v.Details)
			}
		}
	}
	length := float64(len(sizes) * days * endpoints)
	t.Logf("%d episodes in %.0f days of an endpoint", opened, length)
	if float64(opened) > length/100 {
		t.Errorf("%.2f are allowed", length/100)
	}
}

// innocentWeek writes so many days of the demo's history without its attackers.
func innocentWeek(seed uint64, days, events int) func(*bufio.Writer) {
	end := time.Date(2026, 3, 16, 12, 0, 0, 0, time.UTC)
	tr := traffic.New(seed, traffic.Options{End: end, History: time.Duration(days) * 24 * time.Hour, HistoryEvents: events, Rate: 2000})
	evil := map[string]bool{}
	for _, a := range tr.Attackers() {
		evil[a.Addr.String()] = true
	}
	return func(w *bufio.Writer) {
		var line []byte
		for ev := range tr.History() {
			if !evil[ev.Client.String()] {
				line = append(ev.AppendJSON(line[:0]), '\n')
				w.Write(line)
			}
		}
	}
}

// learnedEpisode is one that was opened, with its first verdict.
type learnedEpisode struct {
	schemas.Verdict
	opened, closed time.Time
}

// episodesOf puts the verdicts of episodes together. One that was not closed lasts.
func episodesOf(all []schemas.Verdict) []*learnedEpisode {
	var list []*learnedEpisode
	byID := map[string]*learnedEpisode{}
	for _, v := range all {
		at := time.UnixMicro(int64(v.EventTime))
		switch v.Phase {
		case "open":
			e := &learnedEpisode{v, at, at.Add(1000 * time.Hour)}
			byID[v.EpisodeID] = e
			list = append(list, e)
		case "close":
			byID[v.EpisodeID].closed = at
		}
	}
	return list
}

// replayOfWritten gives the verdicts of a replay of what write writes.
func replayOfWritten(t *testing.T, rules string, write func(*bufio.Writer)) []schemas.Verdict {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(builtBinary(t), "replay", "--rules", file, "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(in, 1<<20)
	write(w)
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	t.Logf("%s", &stderr)
	var all []schemas.Verdict
	for dec := json.NewDecoder(&stdout); ; {
		var v schemas.Verdict
		if err := dec.Decode(&v); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
}

// ticketFault is one fault that was injected into TrainTicket.
type ticketFault struct {
	Start, End   time.Time
	Service      string
	Type         string
	LatencyFault bool `json:"latency_fault"` // else a functional one, which no latency shows
	Detectable   bool
}

// TestTrainTicket replays the requests among the services of TrainTicket with a rule of
// type latency for all of them: the faults that show in latencies are reported on the service that has them, soon,
// and hardly anything else is.
func TestTrainTicket(t *testing.T) {
	dir := filepath.Join(dev.Shared(t), "data", "trainticket")
	text, err := os.ReadFile(filepath.Join(dir, "labels.json"))
	if err != nil {
		t.Fatal(err)
	}
	var labels struct{ Faults []ticketFault }
	if err := json.Unmarshal(text, &labels); err != nil {
		t.Fatal(err)
	}
	found := replayOfWritten(t, "version: 1\nrules: [{id: slow, type: latency, group_by: [host, endpoint], action: alert}]\n", func(w *bufio.Writer) {
		for _, line := range readAllLines(t, filepath.Join(dir, "events.jsonl.gz")) {
			w.Write(append(line, '\n'))
		}
	})
	episodes := episodesOf(found)
	var within60, within90, detectable, functional int
	for _, f := range labels.Faults {
		first := time.Duration(-1) // an episode may be open still from the fault before
		for _, e := range episodes {
			if e.opened.Before(f.Start) && e.closed.Before(f.Start) || e.opened.After(f.End) || !strings.Contains(e.Subject, f.Service+"/") {
				continue
			}
			if delay := max(0, e.opened.Sub(f.Start)); first < 0 || delay < first {
				first = delay
			}
		}
		switch {
		case f.Detectable:
			detectable++
			if first >= 0 && first <= 60*time.Second {
				within60++
			}
			if first >= 0 && first <= 90*time.Second {
				within90++
			} else {
				t.Logf("missed: %+v", f)
			}
		case first > 0 && !f.LatencyFault:
			t.Logf("reported, though no latency shows it: %+v after %s", f, first)
			functional++
		}
	}
	stray := 0
	for _, e := range episodes {
		if !slices.ContainsFunc(labels.Faults, func(f ticketFault) bool {
			return !e.opened.Before(f.Start) && !e.opened.After(f.End.Add(time.Minute))
		}) {
			stray++
			t.Logf("stray: %s %s", e.opened, e.Details)
		}
	}
	t.Logf("of %d detectable faults %d within 60 s, %d within 90 s; %d functional ones reported, %d stray, %d episodes", detectable, within60, within90, functional, stray, len(episodes))
	if within60 < 17 || within90 < 18 || functional > 0 || stray > 2 {
		t.Error("promised: 17 of 18 within 60 s, all within 90 s, no functional one, two stray episodes at most")
	}
}
