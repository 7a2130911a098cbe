package traffic

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Actor is somebody of whom it is known beforehand whether he has to be banned.
type Actor struct {
	Name string     // "credential stuffing"
	Addr netip.Addr // canonical
	Says string     // what he does, in a sentence
	Done bool       // has done all that is needed to catch him
}

// player is an Actor and what he does.
type player struct {
	Actor
	agent string
	evil  bool
	past  []phase // starts count from the end of the history
	now   []phase // starts count from the start of the live phase
}

// phase is a run of similar requests.
type phase struct {
	start  time.Duration
	after  time.Duration // if not 0: not before this, counted from the end of the history
	every  time.Duration // mean time between two requests
	times  int           // 0: without end
	enough int           // so many requests of it, and the attacker has to be caught; 0: says nothing
	send   func(i int, ev *Event, r *rand.Rand)
}

// Attackers are all who have to be banned. The list grows while an endless demo
// runs.
func (t *Traffic) Attackers() []Actor { return t.actors(true) }

// Innocents are those who look like attackers. Nobody but Attackers may be banned,
// visitors neither.
func (t *Traffic) Innocents() []Actor { return t.actors(false) }

func (t *Traffic) actors(evil bool) []Actor {
	var list []Actor
	for _, p := range t.cast {
		if p.evil == evil {
			list = append(list, p.Actor)
		}
	}
	return list
}

// castPlayers gives every part to somebody with addresses that the seed picks:
// attackers out of 198.51.100.0/24, 192.0.2.0/24 and 2001:db8:bad::/48, innocents out
// of 203.0.113.0/24 (all for documentation, nobody real has them).
func (t *Traffic) castPlayers() {
	t.evil = pool(t.r, "198.51.100.%d", "192.0.2.%d")
	good := pool(t.r, "203.0.113.%d")
	t.office = newOffice(good())
	t.cast = append(t.cast, &player{Actor: Actor{Name: "office", Addr: t.office.addr, Says: "twenty colleagues behind one address"}})
	t.cast = append(t.cast, t.innocents(good)...)
	t.cast = append(t.cast, t.attackers(t.evil)...)
}

// castRate is how many live events a second the innocents make.
func (t *Traffic) castRate() float64 {
	rate := colleagues / (officePace * meanGap / 1e6)
	for _, p := range t.cast {
		for _, ph := range p.now {
			if !p.evil && ph.times == 0 {
				rate += 1 / ph.every.Seconds()
			}
		}
	}
	return rate
}

// pool hands out addresses of /24 networks in an order of r's. It has 200 for each.
func pool(r *rand.Rand, networks ...string) func() netip.Addr {
	var all []netip.Addr
	for _, network := range networks {
		for i := 2; i < 202; i++ {
			all = append(all, netip.MustParseAddr(fmt.Sprintf(network, i)))
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	given := 0
	return func() netip.Addr {
		given++
		return all[(given-1)%len(all)]
	}
}

// planPhases schedules phases that start from a common time, but for those that
// would have begun before the history did.
func (t *Traffic) planPhases(p *player, phases []phase, from int64) {
	for _, ph := range phases {
		at := from + micros(ph.start)
		if ph.after > 0 {
			at = max(at, t.end+micros(ph.after))
		}
		if at >= t.from {
			t.plan.add(at+t.r.Int64N(micros(ph.every)/4+1), p.step(ph))
		}
	}
}

// step is the schedule's step for one phase of p.
func (p *player) step(ph phase) step {
	sent := 0
	return func(at int64, ev *Event, r *rand.Rand) int64 {
		ev.Client, ev.Agent = p.Addr, p.agent
		ph.send(sent, ev, r)
		sent++
		if sent == ph.enough {
			p.Done = true
		}
		if sent == ph.times {
			return 0
		}
		return at + int64(float64(micros(ph.every))*(0.9+0.2*r.Float64()))
	}
}
