package traffic

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Options say how much traffic there is.
type Options struct {
	End           time.Time     // of the history
	History       time.Duration // how far back it goes; an hour at least
	HistoryEvents int           // about how many events of visitors it has; those of the others come on top
	Rate          float64       // live events a second; those of attackers come on top
	Live          time.Duration // how long it will last; 0: without end
}

// DefaultOptions is a history of six hours that ends at end, and 2,000 events a
// second after it.
func DefaultOptions(end time.Time) Options {
	return Options{End: end, History: 6 * time.Hour, HistoryEvents: 100_000, Rate: 2000}
}

// ShortestLive is the shortest live phase in which every attacker can be caught.
const ShortestLive = 10 * time.Second

// Validate says what cannot be.
func (o Options) Validate() error {
	switch {
	case o.History < time.Hour:
		return fmt.Errorf("a history of %v is too short for slow attackers: take an hour or more", o.History)
	case o.Rate < 100 || o.Rate > 1e6:
		return fmt.Errorf("a rate of %g events a second is out of range: take 100 to 1000000", o.Rate)
	case o.Live != 0 && o.Live < ShortestLive:
		return fmt.Errorf("%v of live traffic is too short for every attacker to be caught: take %v or more, or 0 for no end", o.Live, ShortestLive)
	}
	return nil
}

// Traffic makes up events. Use it from one goroutine.
type Traffic struct {
	o      Options
	r      *rand.Rand
	crowd  crowd
	plan   schedule
	cast   []*player
	office *office
	evil   func() netip.Addr // the next attacker's address
	wave   int64             // when the next attacker of an endless demo comes
	from   int64             // start of the history
	end    int64             // end of it
	live   int64             // start of the live phase

	refused map[netip.Addr]bool
	events  [2]uint64 // history, live
	blocked uint64
}

// New plans the history. o must be valid.
func New(seed uint64, o Options) *Traffic {
	t := &Traffic{
		o: o, r: rand.New(rand.NewPCG(seed, 0x6170697761726465)), crowd: crowd{seed: seed},
		from: o.End.Add(-o.History).UnixMicro(), end: o.End.UnixMicro(), refused: map[netip.Addr]bool{},
	}
	t.castPlayers()
	for _, p := range t.cast {
		t.planPhases(p, p.past, t.end)
	}
	// The rhythm thins visitors out, so the busiest hour needs more of them.
	peak := float64(o.HistoryEvents) / o.History.Seconds() / meanRhythm(t.from, t.end)
	t.seat(max(1, int(peak*meanGap/1e6+0.5)), t.from, session{crowd: &t.crowd, pace: 1, quiet: true})
	t.seat(4, t.from, session{office: t.office, pace: officePace, quiet: true})
	return t
}

// History gives the events of the history in the order of their times.
func (t *Traffic) History() iter.Seq[*Event] { return t.until(t.end, 0) }

// GoLive ends the history and plans what comes from at on; at is not before its end.
func (t *Traffic) GoLive(at time.Time) {
	t.live = at.UnixMicro()
	t.wave = t.live + firstWave
	t.plan = schedule{}
	rate := t.o.Rate - t.castRate()
	t.seat(max(1, int(rate*meanGap/1e6+0.5)), t.live, session{crowd: &t.crowd, pace: 1})
	t.seat(colleagues, t.live, session{office: t.office, pace: officePace})
	for _, p := range t.cast {
		t.planPhases(p, p.now, t.live)
	}
}

// Until gives the live events that are due before at, in the order of their times.
func (t *Traffic) Until(at time.Time) iter.Seq[*Event] {
	t.sendWaves(at.UnixMicro())
	return t.until(at.UnixMicro(), 1)
}

// Refuse tells the shop's gateway to refuse a client from now on, or to let it in
// again, as a gateway that follows the ban topic does.
func (t *Traffic) Refuse(client netip.Addr, refused bool) {
	if refused {
		t.refused[client] = true
	} else {
		delete(t.refused, client)
	}
}

// Blocked is how many events were refused so far.
func (t *Traffic) Blocked() uint64 { return t.blocked }

// Events is how many events were made so far, in the history and live.
func (t *Traffic) Events() (history, live uint64) { return t.events[0], t.events[1] }

func (t *Traffic) until(end int64, phase int) iter.Seq[*Event] {
	return func(yield func(*Event) bool) {
		var ev Event
		for t.plan.run(end, &ev, t.r) {
			t.events[phase]++
			if t.refused[ev.Client] {
				ev.Blocked, ev.Status, ev.LatencyMS, ev.Response, ev.Body = true, 403, 0.2, 90, ""
				t.blocked++
			}
			if !yield(&ev) {
				return
			}
		}
	}
}

// seat adds n sessions like s that are under way at time at.
func (t *Traffic) seat(n int, at int64, s session) {
	for range n {
		seat := s
		seat.start(t.r)
		seat.left = 1 + t.r.IntN(seat.left)
		seat.page = seat.another(t.r)
		t.plan.add(at+t.r.Int64N(int64(7*float64(second)*s.pace)), seat.step)
	}
}
