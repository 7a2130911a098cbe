package traffic

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

// noon is the end of the history in tests.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// run makes a history and then live traffic as a demo would, live starting late
// after the history's end.
func run(seed uint64, o Options, late, live time.Duration, each func(ev *Event, live bool)) *Traffic {
	t := New(seed, o)
	for ev := range t.History() {
		each(ev, false)
	}
	start := o.End.Add(late)
	t.GoLive(start)
	for at := time.Duration(0); at < live; at += 20 * time.Millisecond {
		for ev := range t.Until(start.Add(at)) {
			each(ev, true)
		}
	}
	return t
}

func TestSameSeedSameEvents(t *testing.T) {
	text := func(seed uint64) []byte {
		var all []byte
		o := DefaultOptions(noon)
		o.HistoryEvents, o.Rate = 5000, 300
		run(seed, o, 4*time.Second, 40*time.Second, func(ev *Event, _ bool) { all = append(ev.AppendJSON(all), '\n') })
		return all
	}
	one := text(1)
	if !bytes.Equal(one, text(1)) {
		t.Error("the same seed gave other events")
	}
	if bytes.Equal(one, text(2)) {
		t.Error("another seed gave the same events")
	}
}

func TestOrderAndShape(t *testing.T) {
	o := DefaultOptions(noon)
	var last int64
	var size, n int
	var line []byte
	run(3, o, 6*time.Second, 20*time.Second, func(ev *Event, live bool) {
		if ev.Time < last {
			t.Fatalf("event at %d follows one at %d", ev.Time, last)
		}
		last = ev.Time
		if end := noon.UnixMicro(); live != (ev.Time >= end) {
			t.Fatalf("event at %d, live %v, history ends at %d", ev.Time, live, end)
		}
		line = ev.AppendJSON(line[:0])
		size += len(line)
		if n++; n%97 != 0 {
			return
		}
		var back struct {
			Timestamp time.Time
			ClientIP  string `json:"client_ip"`
			Method    string
			Path      string
			Status    int
		}
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if back.Timestamp.UnixMicro() != ev.Time || back.Path != ev.Path || back.Status != ev.Status || back.Method != ev.Method {
			t.Fatalf("%s does not say what %+v does", line, ev)
		}
	})
	if mean := size / n; mean < 250 || mean > 450 {
		t.Errorf("an event has %d bytes on average, want about 300", mean)
	}
}

func TestRate(t *testing.T) {
	o := DefaultOptions(noon)
	clients := map[netip.Addr]bool{}
	tr := run(5, o, 0, 30*time.Second, func(ev *Event, live bool) { clients[ev.Client] = true })
	history, live := tr.Events()
	t.Logf("%d events of history, %d live in 30 s, %d clients", history, live, len(clients))
	if history < 110_000 || history > 160_000 {
		t.Errorf("history has %d events, want 110,000 to 160,000", history)
	}
	if live < 57_000 || live > 66_000 {
		t.Errorf("30 s of live traffic have %d events, want about 60,000 and some attackers'", live)
	}
	if len(clients) < 5000 {
		t.Errorf("%d clients, want several thousand", len(clients))
	}
}

func TestCast(t *testing.T) {
	for seed := range uint64(50) {
		o := DefaultOptions(noon)
		o.Live = 30 * time.Second
		tr := New(seed, o)
		seen := map[netip.Addr]string{}
		for _, a := range append(tr.Attackers(), tr.Innocents()...) {
			if other := seen[a.Addr]; other != "" {
				t.Errorf("seed %d: %s and %s share %s", seed, a.Name, other, a.Addr)
			}
			seen[a.Addr] = a.Name
			if a.Name == "" || a.Says == "" {
				t.Errorf("seed %d: %+v has no name or sentence", seed, a)
			}
		}
	}
}

func TestEveryAttackerIsDoneInTime(t *testing.T) {
	for _, live := range []time.Duration{ShortestLive, 15 * time.Second, 30 * time.Second, 2 * time.Minute} {
		o := DefaultOptions(noon)
		o.HistoryEvents, o.Rate, o.Live = 1000, 100, live
		tr := run(7, o, 8*time.Second, live, func(*Event, bool) {})
		for _, a := range tr.Attackers() {
			if !a.Done {
				t.Errorf("%v: %s has not done enough to be caught", live, a.Name)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	o := DefaultOptions(noon)
	o.HistoryEvents, o.Rate = 1000, 200
	tr := New(1, o)
	bad := tr.Attackers()[0].Addr
	tr.Refuse(bad, true)
	for ev := range tr.History() {
		if want := ev.Client == bad; ev.Blocked != want || want && ev.Status != 403 {
			t.Fatalf("%+v: blocked %v, status %d", ev.Client, ev.Blocked, ev.Status)
		}
	}
	if tr.Blocked() == 0 {
		t.Error("nothing was refused")
	}
	tr.Refuse(bad, false)
	tr.GoLive(noon)
	for ev := range tr.Until(noon.Add(5 * time.Second)) {
		if ev.Blocked {
			t.Fatalf("%v is still refused", ev.Client)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"short history": func(o *Options) { o.History = time.Minute },
		"low rate":      func(o *Options) { o.Rate = 5 },
		"short live":    func(o *Options) { o.Live = time.Second },
	} {
		o := DefaultOptions(noon)
		change(&o)
		if o.Validate() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := DefaultOptions(noon).Validate(); err != nil {
		t.Error(err)
	}
}

func BenchmarkEvent(b *testing.B) {
	tr := New(1, DefaultOptions(noon))
	tr.GoLive(noon)
	var line []byte
	b.ReportAllocs()
	n := 0
	for ev := range tr.Until(noon.Add(time.Hour)) {
		line = ev.AppendJSON(line[:0])
		if n++; n >= b.N {
			break
		}
	}
}
