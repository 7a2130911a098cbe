package detector

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// compare adds to the summaries how a client's total has changed, by a rule that counts
// for a view. Where its shard was restored at another offset than the summaries, changes
// can be lost or, with what was published before a crash, told twice: a client is in the
// wrong bin then until the hour is over.
func (e *Engine) compare(r *rule, o *observed, c *peerChange) {
	s := &e.summaries
	if o.record.Offset < s.next || o.time < s.closed*second {
		return
	}
	i := slices.IndexFunc(o.endpoint.views, func(a aspect) bool { return a.index == r.view })
	x := e.summary(s.bucket(o.time), &o.endpoint.views[i], o)
	if x.pooled {
		return // it is of many endpoints
	}
	s.copying.before(x)
	if x.peers == nil {
		x.peers = s.pool.comparing()
	}
	if c.before >= 0 {
		x.peers.Move(c.before, -1)
	}
	x.peers.Move(c.after, 1)
	if c.total >= peerSlack*r.Metric.traits().floor {
		_, name := e.name(subject{}, o)
		x.peers.Top(schemas.PeerTotal{Client: name, Total: c.total})
	}
}

// appendPeers appends an encoding of peers.
func appendPeers(dst []byte, p *schemas.Peers) []byte {
	dst = append(dst, byte(len(p.Moves)))
	for _, m := range p.Moves {
		dst = binary.AppendVarint(append(dst, m.Bin), m.Count)
	}
	dst = append(dst, byte(len(p.Tops)))
	for _, t := range p.Tops {
		dst = append(append(dst, byte(len(t.Client))), t.Client...)
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(t.Total))
	}
	return dst
}

// longestClient is how long the name of an address or a network is, at most.
const longestClient = 64

// peers reads what appendPeers wrote.
func (r *summaryReader) peers(p *schemas.Peers) {
	for range r.small(schemas.PeerBins) {
		m := schemas.PeerMove{Bin: r.small(schemas.PeerBins - 1)}
		count, size := binary.Varint(r.b)
		if n := len(p.Moves); r.err == nil && (size <= 0 || count == 0 || n > 0 && m.Bin <= p.Moves[n-1].Bin) {
			r.err = errors.New("moves of clients are out of order")
		}
		if r.err != nil {
			return
		}
		m.Count, r.b = count, r.b[size:]
		p.Moves = append(p.Moves, m)
	}
	for range r.small(schemas.PeerTops) {
		t := schemas.PeerTotal{Client: string(r.cut(int64(r.small(longestClient))))}
		t.Total = math.Float64frombits(binary.LittleEndian.Uint64(r.cut(8)))
		if n := len(p.Tops); r.err == nil && (!(t.Total >= 0) || n > 0 && t.Total > p.Tops[n-1].Total) {
			r.err = errors.New("totals of clients are out of order")
		}
		p.Tops = append(p.Tops, t)
	}
}
