package detector

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/schemas"
)

// trainTicket is a trace of a microservice benchmark in which faults were injected.
type trainTicket struct {
	events []trainTicketEvent
	faults []trainTicketFault
}

type trainTicketEvent struct {
	Timestamp time.Time
	Method    string
	Path      string
	Host      string
	LatencyMS float64 `json:"latency_ms"`
}

type trainTicketFault struct {
	Start, End time.Time
	Service    string
	Latency    bool `json:"latency_fault"`
	Detectable bool
}

func readTrainTicket(t testing.TB) *trainTicket {
	t.Helper()
	file, err := os.Open(sharedFile(t, "data/trainticket/events.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var tt trainTicket
	for lines := bufio.NewScanner(plain); lines.Scan(); {
		var e trainTicketEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		tt.events = append(tt.events, e)
	}
	slices.SortStableFunc(tt.events, func(a, b trainTicketEvent) int { return a.Timestamp.Compare(b.Timestamp) })
	labels, err := os.ReadFile(sharedFile(t, "data/trainticket/labels.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Faults []trainTicketFault }
	if err := json.Unmarshal(labels, &all); err != nil {
		t.Fatal(err)
	}
	tt.faults = all.Faults
	return &tt
}

// latencyEpisode is when an endpoint of a service was known to be slow.
type latencyEpisode struct {
	service, endpoint string
	opened, closed    time.Time
	known             time.Time // when the bucket in which it was opened could be judged, at a lateness of 30 s
}

// episodes judges all endpoints. The seed chooses other evidence, shift moves the edges of
// buckets.
func (tt *trainTicket) episodes(seed byte, shift time.Duration, sensitivity Sensitivity) []latencyEpisode {
	feeds, services := map[string]*latencyFeed{}, map[string]string{}
	for _, e := range tt.events {
		key := e.Method + " " + e.Host + e.Path
		f := feeds[key]
		if f == nil {
			f = &latencyFeed{sensitivity: sensitivity}
			feeds[key], services[key] = f, e.Host
		}
		at := e.Timestamp.Add(shift).UnixMicro()
		h := fnv.New32a()
		fmt.Fprint(h, seed, at, e.LatencyMS, key)
		f.add(at, e.LatencyMS, h.Sum32())
	}
	var all []latencyEpisode
	for key, f := range feeds {
		f.close()
		for i, found := range f.found {
			if found.Kind != LatencyOpened {
				continue
			}
			bucket := time.Unix(found.Time/microseconds/schemas.SummarySeconds*schemas.SummarySeconds, 0)
			e := latencyEpisode{
				service: services[key], endpoint: key,
				opened: time.UnixMicro(found.Time).Add(-shift),
				closed: tt.events[len(tt.events)-1].Timestamp,
				known:  bucket.Add((schemas.SummarySeconds+30)*time.Second - shift),
			}
			if i+1 < len(f.found) {
				e.closed = time.UnixMicro(f.found[i+1].Time).Add(-shift)
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b latencyEpisode) int { return a.opened.Compare(b.opened) })
	return all
}

// trainTicketScore is how the episodes fit the faults.
type trainTicketScore struct {
	within60, within90 int // detectable latency faults with an episode on the faulty service
	known60, known90   int // the same by when the bucket could be judged
	opened             int // of those that were found, by an episode that began in the fault
	delay              float64
	stray              int // episodes outside of all faults and of the minute after them
	elsewhere          int // episodes in a functional fault, on another service than its own
	functional         int // episodes on the service of a functional fault
	episodes           int
}

// score: a fault is found by an episode of its service that begins in it, or that began in
// an earlier one and is still open a minute after its start. Where an episode lies
// is told by its beginning.
func (tt *trainTicket) score(episodes []latencyEpisode, from, until int) trainTicketScore {
	s := trainTicketScore{episodes: len(episodes)}
	for _, f := range tt.faults[from:until] {
		if !f.Detectable {
			continue
		}
		delay, known, opened := math.Inf(1), math.Inf(1), false
		for _, e := range episodes {
			if e.service == f.Service && !e.opened.After(f.End) && e.closed.After(f.Start.Add(time.Minute)) {
				delay = min(delay, max(0, e.opened.Sub(f.Start).Seconds()))
				known = min(known, max(0, e.known.Sub(f.Start).Seconds()))
				opened = opened || e.opened.After(f.Start)
			}
		}
		count := func(n *int, yes bool) {
			if yes {
				*n++
			}
		}
		count(&s.within60, delay <= 60)
		count(&s.within90, delay <= 90)
		count(&s.known60, known <= 60)
		count(&s.known90, known <= 90)
		count(&s.opened, opened)
		s.delay += min(delay, 150) / 18
	}
	for _, e := range episodes {
		stray, functional, elsewhere := true, false, false
		for _, f := range tt.faults {
			if e.opened.Before(f.Start) || e.opened.After(f.End.Add(time.Minute)) {
				continue
			}
			stray = false
			if !f.Latency && !e.opened.After(f.End) {
				functional = functional || e.service == f.Service
				elsewhere = elsewhere || e.service != f.Service
			}
		}
		switch {
		case stray:
			s.stray++
		case functional:
			s.functional++
		case elsewhere:
			s.elsewhere++
		}
	}
	return s
}

// TestLatencyTrainTicket holds what docs/BASELINES.md says, for several choices of
// evidence and of where buckets begin: neither must matter.
func TestLatencyTrainTicket(t *testing.T) {
	tt := readTrainTicket(t)
	for i := range 4 {
		shift := time.Duration(i) * 2300 * time.Millisecond
		episodes := tt.episodes(byte(i), shift, SensitivityNormal)
		s := tt.score(episodes, 0, len(tt.faults))
		t.Logf("%d: %+v", i, s)
		if s.within90 < 18 || s.within60 < 17 || s.stray > 2 || s.functional > 0 {
			t.Errorf("evidence %d, buckets shifted by %v: %+v; want 18 within 90 s, 17 within 60 s, 2 stray at most, none functional", i, shift, s)
			for _, e := range episodes {
				t.Logf("%s to %s %s", e.opened.Format("15:04:05"), e.closed.Format("15:04:05"), e.endpoint)
			}
		}
	}
}
