package detector

import (
	"math/bits"

	"github.com/dchest/siphash"

	"github.com/apiwarden/apiwarden/schemas"
)

// peers is outlier in the engine: it adds up what a client does at an endpoint in each
// hour of event time, and never fires. What a client's total says is for Baselines to
// judge, which knows those of all others; so each change of a total is told to the
// summaries. Its cell is a peerCell.
//
// An event of an hour before the one that is added up, which is late and at its edge, is
// passed over.
var peers = kind{extras: 1, observe: observePeers, half: halfPeers}

// peerPaths is the same for distinct paths: the cell and the words of a pathSketch.
var peerPaths = kind{extras: 1 + pathWords, observe: observePeers, half: halfPeers}

// kindFor gives the kind of a rule.
func kindFor(t Type, m Metric) *kind {
	if t == TypeOutlier && m == MetricDistinctPaths {
		return &peerPaths
	}
	return kinds[t]
}

// peerCell is the hour since the epoch, plus 1, << 40 | the client's total in it. 0 is
// that nothing was added yet.
type peerCell uint64

const (
	peerTotalBits = 40
	peerTotalMask = 1<<peerTotalBits - 1
	peerHour      = schemas.PeerSeconds * second
)

func (c peerCell) hour() int64   { return int64(c >> peerTotalBits) }
func (c peerCell) total() uint64 { return uint64(c & peerTotalMask) }

// peerChange is what an event changed in how a client stands beside its peers.
type peerChange struct {
	before int // its bin; -1: it was not among them
	after  int
	total  float64
}

// told says whether there is anything to tell of it.
func (c *peerChange) told() bool { return c.before != c.after }

func observePeers(_ *Engine, o *occurrence, r *rule) finding {
	at := o.rec.cell(r.bit)
	cells := o.rec[at : at+r.kind.extras]
	cell, hour := peerCell(cells[0]), o.time/peerHour+1
	m := r.Metric.traits()
	o.change = peerChange{before: -1, after: -1}
	switch {
	case hour < cell.hour():
		return finding{}
	case hour == cell.hour():
		o.change.before = schemas.PeerBinOf(float64(cell.total()) / m.parts)
	default:
		clear(cells)
	}
	added := o.value
	if r.Metric == MetricDistinctPaths {
		added = uint64(pathSketch(cells[1:]).add(o.value) * m.parts)
	}
	total := min(peerCell(cells[0]).total()+added, peerTotalMask)
	cells[0] = uint64(hour)<<peerTotalBits | total
	o.change.total = float64(total) / m.parts
	o.change.after = schemas.PeerBinOf(o.change.total)
	return finding{}
}

func halfPeers(_ *Engine, rec record, r *rule) bool {
	m := r.Metric.traits()
	return float64(peerCell(rec[rec.cell(r.bit)]).total()) > peerSlack*m.floor*m.parts
}

// pathSketch estimates how many different paths were added to it: 64 registers of 4
// bits, each with the largest rank of a hash that fell to it (HyperLogLog: Flajolet and
// others, AofA 2007), and the count kept beside it, which grows by one over the chance
// that a path which is new changes the registers (Ting, KDD 2014). It is right for few
// paths and to 11 % for many.
type pathSketch []uint64

const (
	pathWords    = 4
	pathRegister = 4 // bits
	pathRanks    = 1<<pathRegister - 1
	perPathWord  = 64 / pathRegister
)

// add gives by how much the estimate grows.
func (s pathSketch) add(hash uint64) float64 {
	register := hash % (pathWords * perPathWord)
	word, shift := &s[register/perPathWord], register%perPathWord*pathRegister
	rank := min(uint64(bits.TrailingZeros64(hash>>6))+1, pathRanks)
	if rank <= *word>>shift&pathRanks {
		return 0
	}
	open := 0.0
	for _, w := range s {
		for range perPathWord {
			if rank := w & pathRanks; rank < pathRanks {
				open += 1 / float64(uint64(1)<<rank)
			}
			w >>= pathRegister
		}
	}
	*word = *word&^(pathRanks<<shift) | rank<<shift
	return pathWords * perPathWord / open
}

// pathHash is the same in all processes: totals do not depend on a seed.
func pathHash(path []byte) uint64 { return siphash.Hash(0x6f75746c69657200, 0x7061746873000000, path) }
