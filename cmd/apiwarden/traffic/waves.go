package traffic

import (
	"net/netip"
	"time"
)

// An endless demo gets another attacker every few seconds, so that there is always
// something to see.
const (
	firstWave = 25 * second
	waveEvery = 7 * second
)

// sendWaves adds the attackers that are due before end, unless the live phase is
// too short for them to be caught.
func (t *Traffic) sendWaves(end int64) {
	kinds := [...]func(netip.Addr) *player{
		burst, bruteForce, prober, secretHunter, idEnumeration, oddMethods, fuzzer, scanner, cheat,
		func(a netip.Addr) *player { return stuffing("credential stuffing", a) },
	}
	for t.wave < end {
		if t.o.Live != 0 && t.wave+micros(ShortestLive) > t.live+micros(t.o.Live) {
			return
		}
		p := kinds[t.r.IntN(len(kinds))](t.evil())
		for i := range p.now {
			p.now[i].start += time.Duration(t.wave-t.live) * time.Microsecond
		}
		t.cast = append(t.cast, p)
		t.planPhases(p, p.now, t.live)
		t.wave += waveEvery/2 + t.r.Int64N(waveEvery)
	}
}
