package detector

import (
	"unsafe"

	"github.com/apiwarden/apiwarden/schemas"
)

// summaryPool keeps what was used for later buckets, so that events find memory there.
type summaryPool struct {
	free    []*openSummary
	tallies []*tallied
	peers   []*schemas.Peers
	sizes   []*schemas.Sizes
	buckets []*openBucket
	made    int   // summaries, free or not
	most    int   // of those, how many were in use at a time since the pool was trimmed
	bytes   int64 // of all summaries, tallies, peers and sizes that were made
}

const (
	// summaryBytes is what a summary takes, with its place in a map.
	summaryBytes = int64(unsafe.Sizeof(openSummary{})) + 64
	tallyBytes   = int64(unsafe.Sizeof(tallied{}))
	// peersBytes is what the lists of peers take, mostly.
	peersBytes = int64(unsafe.Sizeof(schemas.Peers{})) + 16*int64(unsafe.Sizeof(schemas.PeerMove{})) + 4*int64(unsafe.Sizeof(schemas.PeerTotal{})+16)
	// sizesBytes is what the lists of sizes take, where one kind is judged.
	sizesBytes = int64(unsafe.Sizeof(schemas.Sizes{})) + 16*int64(unsafe.Sizeof(schemas.BinCount{})) + schemas.SizeLargest*int64(unsafe.Sizeof(schemas.LargeEvent{}))
)

// take gives an empty summary.
func (p *summaryPool) take() *openSummary {
	n := len(p.free)
	if n == 0 {
		p.made++
		p.most = max(p.most, p.made)
		p.bytes += summaryBytes
		return &openSummary{}
	}
	x := p.free[n-1]
	p.free = p.free[:n-1]
	p.most = max(p.most, p.made-len(p.free))
	return x
}

// tally gives an empty tally.
func (p *summaryPool) tally() *tallied {
	n := len(p.tallies)
	if n == 0 {
		p.bytes += tallyBytes
		return &tallied{}
	}
	t := p.tallies[n-1]
	p.tallies = p.tallies[:n-1]
	*t = tallied{}
	return t
}

// comparing gives peers of whom nothing is known.
func (p *summaryPool) comparing() *schemas.Peers {
	n := len(p.peers)
	if n == 0 {
		p.bytes += peersBytes
		return &schemas.Peers{Moves: make([]schemas.PeerMove, 0, 16)}
	}
	x := p.peers[n-1]
	p.peers = p.peers[:n-1]
	clear(x.Tops)
	x.Moves, x.Tops = x.Moves[:0], x.Tops[:0]
	return x
}

// sizing gives sizes of which nothing is known.
func (p *summaryPool) sizing() *schemas.Sizes {
	n := len(p.sizes)
	if n == 0 {
		p.bytes += sizesBytes
		return &schemas.Sizes{}
	}
	x := p.sizes[n-1]
	p.sizes = p.sizes[:n-1]
	x.Reset()
	return x
}

// put takes a summary back.
func (p *summaryPool) put(x *openSummary) {
	if x.peers != nil {
		p.peers = append(p.peers, x.peers)
	}
	if x.sizes != nil {
		p.sizes = append(p.sizes, x.sizes)
	}
	if x.tally != nil {
		p.tallies = append(p.tallies, x.tally)
	}
	*x = openSummary{}
	p.free = append(p.free, x)
}

// bucket gives an empty bucket that begins at a time, with views of these ids.
func (p *summaryPool) bucket(from int64, views []string) *openBucket {
	var b *openBucket
	if n := len(p.buckets); n > 0 {
		b, p.buckets = p.buckets[n-1], p.buckets[:n-1]
	} else {
		b = &openBucket{}
	}
	b.from, b.start, b.ids = from, from/second, views
	if len(b.views) != len(views) {
		b.views = make([]openView, len(views))
	}
	return b
}

// recycle takes a bucket back, with its summaries.
func (p *summaryPool) recycle(b *openBucket) {
	for _, x := range b.summaries {
		p.put(x)
	}
	clear(b.summaries)
	b.summaries, b.requests = b.summaries[:0], 0
	for i := range b.views {
		v := &b.views[i]
		clear(v.endpoints)
		v.named, v.pooled, v.full = 0, 0, false
	}
	p.buckets = append(p.buckets, b)
}

// trim gives memory back where there is twice as much as was in use lately.
func (p *summaryPool) trim() {
	for p.made > 2*p.most && len(p.free) > 0 {
		n := len(p.free) - 1
		p.free[n], p.free = nil, p.free[:n]
		p.made--
		p.bytes -= summaryBytes
	}
	p.most = p.made - len(p.free)
	for n := len(p.tallies) - 1; n >= 0 && n >= p.made; n-- {
		p.tallies[n], p.tallies = nil, p.tallies[:n]
		p.bytes -= tallyBytes
	}
	for n := len(p.peers) - 1; n >= 0 && n >= p.made; n-- {
		p.peers[n], p.peers = nil, p.peers[:n]
		p.bytes -= peersBytes
	}
	for n := len(p.sizes) - 1; n >= 0 && n >= p.made; n-- {
		p.sizes[n], p.sizes = nil, p.sizes[:n]
		p.bytes -= sizesBytes
	}
	if len(p.buckets) > openBuckets {
		clear(p.buckets[openBuckets:])
		p.buckets = p.buckets[:openBuckets]
	}
}
