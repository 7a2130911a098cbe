package schemas

import (
	"cmp"
	"slices"
)

// PeerSeconds is the length of the hours in which outlier rules compare the clients of
// an endpoint. They begin at whole multiples of it since the epoch, so that a bucket of
// summaries lies in one of them.
const PeerSeconds = 3600

// PeerTops is how many clients a summary names, at most.
const PeerTops = 32

// Peers is what a bucket of event time changed in how the clients of an endpoint stand
// beside each other, by what each has done since the beginning of the hour.
type Peers struct {
	Moves []PeerMove `json:"moves,omitempty"` // in the order of the bins

	// Tops are clients that came to another bin in the bucket and have enough to be
	// outliers, those with most first, with what they had when they came there. So each
	// that matters is named at times, also where many have very much.
	Tops []PeerTotal `json:"tops,omitempty"`
}

// PeerBins is how many bins totals are counted in. Bin 0 is of those under 1, bin i of
// those from 1.2^(i-1) to 1.2^i; the last holds what lies beyond it.
const PeerBins = 128

// PeerMove is how many clients more, or fewer, have a total in a bin: in JSON [bin, clients].
type PeerMove struct {
	Bin   uint8
	Count int64
}

// PeerTotal is a client and its total: in JSON [client, total].
type PeerTotal struct {
	Client string
	Total  float64
}

var peerEdges = func() (edges [PeerBins]float64) {
	edges[0] = 1
	for i := 1; i < PeerBins; i++ {
		edges[i] = edges[i-1] * 1.2 // not math.Pow, which is not the same on all processors
	}
	return edges
}()

// PeerBinOf gives the bin of a total.
func PeerBinOf(total float64) int {
	bin, found := slices.BinarySearch(peerEdges[:], total)
	if found {
		bin++
	}
	return min(bin, PeerBins-1)
}

// PeerEdge gives the upper edge of a bin; totals in it are less, but for the last.
func PeerEdge(bin int) float64 { return peerEdges[bin] }

// Merge adds what another partition of the log has to say of the same bucket.
func (p *Peers) Merge(o *Peers) {
	for _, m := range o.Moves {
		p.Move(int(m.Bin), m.Count)
	}
	for _, t := range o.Tops {
		p.Top(t)
	}
}

// Move has so many clients more in a bin.
func (p *Peers) Move(bin int, count int64) {
	at, found := slices.BinarySearchFunc(p.Moves, bin, func(m PeerMove, bin int) int { return cmp.Compare(int(m.Bin), bin) })
	switch {
	case count == 0:
	case !found:
		p.Moves = slices.Insert(p.Moves, at, PeerMove{uint8(bin), count})
	case p.Moves[at].Count == -count:
		p.Moves = slices.Delete(p.Moves, at, at+1)
	default:
		p.Moves[at].Count += count
	}
}

// Top notes the total of a client, which grows from call to call. Of a client in several
// partitions, which is not to be, it is the largest.
func (p *Peers) Top(t PeerTotal) { p.Tops = TopPeers(p.Tops, t, PeerTops) }

// TopPeers puts a client into a list of those with most, at most n. It does not depend
// on the order in which clients come.
func TopPeers(list []PeerTotal, t PeerTotal, n int) []PeerTotal {
	at := slices.IndexFunc(list, func(x PeerTotal) bool { return x.Client == t.Client })
	switch {
	case at >= 0 && list[at].Total >= t.Total:
		return list
	case at >= 0:
		list = slices.Delete(list, at, at+1)
	case len(list) >= n && comparePeers(t, list[n-1]) > 0:
		return list
	}
	at, _ = slices.BinarySearchFunc(list, t, comparePeers)
	list = slices.Insert(list, at, t)
	return list[:min(n, len(list))]
}

func comparePeers(a, b PeerTotal) int {
	return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Client, b.Client))
}

// MarshalJSON writes [bin, clients].
func (m PeerMove) MarshalJSON() ([]byte, error) { return appendPeerMove(nil, m), nil }

// MarshalJSON writes [client, total].
func (t PeerTotal) MarshalJSON() ([]byte, error) { return appendPeerTotal(nil, t), nil }
