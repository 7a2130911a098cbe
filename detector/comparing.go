package detector

import (
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
	if x.Pooled {
		return // it is of many endpoints
	}
	s.copying.before(x)
	before := x.listBytes()
	x.Peers = &x.peers
	if c.before >= 0 {
		x.peers.Move(c.before, -1)
	}
	x.peers.Move(c.after, 1)
	if c.total >= r.Metric.traits().floor {
		_, name := e.name(subject{}, o)
		x.peers.Top(schemas.PeerTotal{Client: name, Total: c.total})
	}
	s.pool.bytes += x.listBytes() - before
}
