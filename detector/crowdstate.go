package detector

import (
	"math"

	"github.com/apiwarden/apiwarden/schemas"
)

func (w *learnedWriter) crowd(c *crowd) {
	w.int(c.since, c.hour)
	w.float(c.hours)
	w.population(&c.now)
	w.population(&c.past)
	w.tops(c.tops)
	w.int(int64(len(c.cases)))
	for i := range c.cases {
		p := &c.cases[i]
		w.text(p.rule)
		w.text(p.version)
		w.text(p.client)
		w.flag(p.open)
		w.int(p.first, p.opened, p.hour, p.known, p.reminders)
		w.float(p.peak)
		f := &p.finding
		w.int(f.peers, f.behind)
		w.float(f.total, f.limit, f.half, f.most, f.before, f.hours)
	}
}

func (r *learnedReader) crowd() *crowd {
	c := &crowd{since: r.int(), hour: r.int(), hours: r.float()}
	r.population(&c.now)
	r.population(&c.past)
	c.tops = r.tops(crowdTops)
	for range r.count(60) {
		p := peerCase{rule: r.text(), version: r.text(), client: r.text(), open: r.flag(), first: r.int(), opened: r.int(), hour: r.int(), known: r.int(), reminders: r.int(), peak: r.float()}
		p.finding = peerFinding{
			client: p.client, peers: r.int(), behind: r.int(),
			total: r.float(), limit: r.float(), half: r.float(), most: r.float(), before: r.float(), hours: r.float(),
		}
		c.cases = append(c.cases, p)
	}
	r.wrong = r.wrong || len(c.cases) > crowdCases || !(c.hours >= 0 && c.hours <= 2*crowdMemory)
	return c
}

// population writes the bins that have clients.
func (w *learnedWriter) population(p *population) {
	n := 0
	for _, x := range p {
		if x != 0 {
			n++
		}
	}
	w.int(int64(n))
	for bin, x := range p {
		if x != 0 {
			w.int(int64(bin), int64(math.Float32bits(x)))
		}
	}
}

func (r *learnedReader) population(p *population) {
	for range r.count(2) {
		bin, bits := r.int(), r.int()
		x := math.Float32frombits(uint32(bits))
		if bin < 0 || bin >= schemas.PeerBins || !(math.Abs(float64(x)) < 1e15) {
			r.wrong = true
			return
		}
		p[bin] = x
	}
}

func (w *learnedWriter) tops(list []schemas.PeerTotal) {
	w.int(int64(len(list)))
	for _, t := range list {
		w.text(t.Client)
		w.float(t.Total)
	}
}

func (r *learnedReader) tops(most int) []schemas.PeerTotal {
	var list []schemas.PeerTotal
	for range r.count(9) {
		t := schemas.PeerTotal{Client: r.text(), Total: r.float()}
		r.wrong = r.wrong || !(t.Total >= 0)
		list = append(list, t)
	}
	r.wrong = r.wrong || len(list) > most
	return list
}

func (w *learnedWriter) peers(p *schemas.Peers) {
	w.flag(p != nil)
	if p == nil {
		return
	}
	w.int(int64(len(p.Moves)))
	for _, m := range p.Moves {
		w.int(int64(m.Bin), m.Count)
	}
	w.tops(p.Tops)
}

func (r *learnedReader) peers() *schemas.Peers {
	if !r.flag() {
		return nil
	}
	p := &schemas.Peers{}
	for range r.count(2) {
		bin := r.int()
		r.wrong = r.wrong || bin < 0 || bin >= schemas.PeerBins || len(p.Moves) > 0 && bin <= int64(p.Moves[len(p.Moves)-1].Bin)
		p.Moves = append(p.Moves, schemas.PeerMove{Bin: uint8(bin), Count: r.int()})
	}
	p.Tops = r.tops(schemas.PeerTops)
	return p
}
