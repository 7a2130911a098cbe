package detector

import (
	"math"

	"github.com/apiwarden/apiwarden/schemas"
)

// population counts clients by the bin of their totals (schemas.PeerBinOf). Counts
// under 0, which moves that were lost can lead to, are taken for 0.
type population [schemas.PeerBins]float32

func (p *population) clients() float64 {
	n := 0.0
	for _, c := range p {
		n += float64(max(c, 0))
	}
	return n
}

// add puts in the clients of another population at a weight.
func (p *population) add(o *population, weight float64) {
	for i, c := range o {
		p[i] += float32(float64(max(c, 0)) * weight)
	}
}

// scale has all counts stand for so much of what they did.
func (p *population) scale(by float64) {
	for i := range p {
		p[i] = float32(float64(p[i]) * by)
	}
}

// above gives the bin of the client above which lie so many others.
func (p *population) above(clients float64) int {
	seen := 0.0
	for i := len(p) - 1; i > 0; i-- {
		if seen += float64(max(p[i], 0)); seen > clients {
			return i
		}
	}
	return 0
}

// logAbove gives the logarithm of the total over which lie so many clients, between the
// edges of its bin. A total under 1 is taken for 1.
func (p *population) logAbove(clients float64) float64 {
	seen := 0.0
	for i := len(p) - 1; i > 0; i-- {
		c := float64(max(p[i], 0))
		if c > 0 && seen+c >= clients {
			return logPeerRatio * (float64(i) - (clients-seen)/c)
		}
		seen += c
	}
	return 0
}

const logPeerRatio = 0.1823215567939546 // ln 1.2

// A tail says how far the totals of a population reach. Its quantiles, as logarithms,
// are followed to where so few clients are that nobody has been there, along a curve
//
//	L(y) = a + b y^bend,   y = −ln(share of the clients that lie above)
//
// which is straight (bend 1) for a Pareto tail, bends as one does that is lognormal
// (bend ½) or exponential (bend 0), and is laid through three quantiles.
type tail struct {
	step    float64 // of y, between the quantiles
	last    float64 // the third
	rise    float64 // from the second to the third
	bend    float64
	clients float64
}

const (
	tailClients = 4     // above the third quantile, at least
	tailShare   = 0.001 // above the third quantile, of many clients
	tailPrior   = 30.0  // clients above it that a bend of ½ is worth
	tailRatio   = 0.767 // rise to rise, of bend ½
)

func (p *population) tail() tail {
	n := p.clients()
	share := min(max(tailClients/n, tailShare), 0.25)
	t := tail{step: -math.Log(share) / 3, clients: n}
	second := p.logAbove(n * math.Exp(-2*t.step))
	t.last = p.logAbove(n * share)
	t.rise = t.last - second
	first := second - p.logAbove(n*math.Exp(-t.step))
	few := tailPrior / (n * share)
	mean := (t.rise + first) / 2
	t.bend = bendOf((t.rise + few*mean*tailRatio) / (first + few*mean))
	t.rise *= 1 + 1/math.Sqrt(n*share)
	return t
}

// reach gives the total over which one of so many clients lies with the chance.
func (t tail) reach(clients, chance float64) float64 {
	y := math.Log(clients/chance) / t.step
	if !(y > 3) || !(t.rise > 0) {
		return math.Exp(t.last)
	}
	two, three := math.Pow(2, t.bend), math.Pow(3, t.bend)
	return math.Exp(t.last + t.rise*(math.Pow(y, t.bend)-three)/(three-two))
}

// bendOf finds the bend of which the second rise is so much of the first.
func bendOf(ratio float64) float64 {
	least, most := 0.01, 1.2
	for range 20 {
		bend := (least + most) / 2
		two := math.Pow(2, bend)
		if (math.Pow(3, bend)-two)/(two-1) < ratio {
			least = bend
		} else {
			most = bend
		}
	}
	return most
}
