package detector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/apiwarden/apiwarden/schemas"
)

// learnedVersion is the first byte of an encoded piece. It changes with what follows it.
const learnedVersion = 3

// maxLearnedShards bounds what an encoded piece may claim.
const maxLearnedShards = 4096

// AppendShard appends the encoding of one piece to dst: all that was learned, and what is
// in its open buckets. There is no checksum: that is for the snapshot around it.
func (b *Baselines) AppendShard(dst []byte, shard int) []byte {
	w := learnedWriter{append(dst, learnedVersion)}
	w.int(int64(shard), int64(len(b.shards)))
	w.shard(&b.shards[shard])
	return w.b
}

// RestoreShard takes in what AppendShard gave. Baselines that have taken in nothing yet come to
// have as many shards as the piece is one of. On an error nothing was taken in. What is of
// views that no rule has is left out.
func (b *Baselines) RestoreShard(data []byte) error {
	if len(data) == 0 {
		return errors.New("reading learned baselines: the piece is empty")
	}
	if data[0] != learnedVersion {
		return fmt.Errorf("reading learned baselines: they are of format version %d, known is %d; they have to be learned again", data[0], learnedVersion)
	}
	r := learnedReader{b: data[1:]}
	number, shards := r.int(), r.int()
	switch {
	case r.wrong:
	case shards < 1 || shards > maxLearnedShards || number < 0 || number >= shards:
		return fmt.Errorf("reading learned baselines: there is no piece %d of %d", number, shards)
	case !b.fresh && int(shards) != len(b.shards):
		return fmt.Errorf("reading learned baselines: piece %d is one of %d, others are of %d", number, shards, len(b.shards))
	}
	s := newLearnedShard(b.options.MaxBytes / max(shards, 1))
	r.shard(&s, b.views)
	switch {
	case r.wrong:
		return fmt.Errorf("reading learned baselines: piece %d does not hold what it claims", number)
	case len(r.b) > 0:
		return fmt.Errorf("reading learned baselines: %d bytes follow piece %d", len(r.b), number)
	}
	if int(shards) != len(b.shards) {
		b.begin(int(shards))
	}
	b.fresh = false
	b.shards[number] = s
	b.shards[number].adopt(b.views)
	return nil
}

// learnedWriter writes numbers as varints and the bits of floats, and texts after their length.
type learnedWriter struct{ b []byte }

func (w *learnedWriter) int(values ...int64) {
	for _, v := range values {
		w.b = binary.AppendVarint(w.b, v)
	}
}

func (w *learnedWriter) float(values ...float64) {
	for _, v := range values {
		w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(v))
	}
}

func (w *learnedWriter) text(s string) {
	w.int(int64(len(s)))
	w.b = append(w.b, s...)
}

func (w *learnedWriter) flag(f bool) {
	if f {
		w.int(1)
	} else {
		w.int(0)
	}
}

// learnedReader reads what learnedWriter wrote. Once something was wrong it gives zeros.
type learnedReader struct {
	b     []byte
	wrong bool
}

func (r *learnedReader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.wrong, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *learnedReader) float() float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(r.bytes(8)))
}

// bytes takes n bytes, or n zeros where there are fewer.
func (r *learnedReader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.wrong, r.b = true, nil
		return make([]byte, 8)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// count reads how many things follow, of so many bytes each at least.
func (r *learnedReader) count(least int) int {
	n := r.int()
	if n < 0 || n > int64(len(r.b)/least) {
		r.wrong, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *learnedReader) text() string {
	n := r.count(1)
	return string(r.bytes(n))
}

func (r *learnedReader) flag() bool { return r.int() != 0 }

func (w *learnedWriter) shard(s *learnedShard) {
	w.int(s.closed, int64(s.partitions), int64(len(s.marks)))
	w.int(s.marks...)
	w.int(int64(len(s.traffic)))
	for start, n := range s.traffic {
		w.int(start, n)
	}
	w.int(s.period.start, s.period.covered, s.period.requests, s.period.first, s.period.last, s.period.lagging, s.periods)
	w.float(s.covered, s.coverage)
	w.int(int64(len(s.since)))
	for view, at := range s.since {
		w.text(view)
		w.int(at)
	}
	w.int(int64(len(s.endpoints)))
	for _, e := range s.endpoints {
		w.endpoint(e)
	}
	w.int(int64(len(s.open)))
	for start, bucket := range s.open {
		w.int(start, int64(len(bucket)))
		for _, m := range bucket {
			w.merged(m)
		}
	}
}

func (r *learnedReader) shard(s *learnedShard, views map[string]*learnedView) {
	s.closed = r.int()
	partitions := r.int()
	for range r.count(1) {
		s.marks = append(s.marks, r.int())
	}
	if partitions < 0 || partitions > int64(len(s.marks)) {
		r.wrong = true
	}
	s.partitions = int(partitions)
	for range r.count(2) {
		start := r.int()
		s.traffic[start] = r.int()
	}
	s.period.start, s.period.covered, s.period.requests, s.period.first, s.period.last = r.int(), r.int(), r.int(), r.int(), r.int()
	s.period.lagging, s.periods = r.int(), r.int()
	s.covered, s.coverage = r.float(), r.float()
	for range r.count(2) {
		view := r.text()
		s.since[view] = r.int()
	}
	for range r.count(leastEndpoint) {
		if e := r.endpoint(views); e.view != nil && !r.wrong {
			s.endpoints[e.id()] = e
			s.bytes += e.bytes()
		}
	}
	for range r.count(2) {
		start := r.int()
		bucket := mergedBucket{}
		for range r.count(leastEndpoint) {
			if m := r.merged(views, start); m.view != nil && !r.wrong {
				bucket[endpointID{m.View, m.Endpoint}] = m
				s.openBytes += m.size()
			}
		}
		s.open[start] = bucket
	}
}

// leastEndpoint is how many bytes an encoded endpoint, or a merged summary, has at least.
const leastEndpoint = 16

func (w *learnedWriter) endpoint(e *learnedEndpoint) {
	w.text(e.view.id)
	w.text(e.key)
	w.flag(e.pool)
	w.int(e.first, e.newest, e.served, e.periods, e.watched, e.asked)
	w.float(e.usual)
	w.int(e.tally.requests)
	w.int(e.tally.classes[:]...)
	w.clients(e.tally.clients)
	for _, s := range e.series {
		w.flag(s != nil)
		if s != nil {
			w.b = s.AppendState(w.b)
		}
	}
	for _, l := range e.latency {
		w.flag(l != nil)
		if l != nil {
			w.b = l.AppendState(w.b)
		}
	}
	w.sizes(e.sizes)
	w.int(int64(len(e.doubts)))
	for _, d := range e.doubts {
		w.int(int64(d.figure), d.periods)
		w.flag(d.down)
		w.float(d.strength)
	}
	w.int(int64(len(e.episodes)))
	for _, p := range e.episodes {
		w.text(p.rule)
		w.text(p.version)
		w.int(int64(p.figure), p.opened, p.seen, p.samples, int64(p.calm), p.reminders)
		w.flag(p.down)
		w.float(p.usual, p.now, p.peak, p.score)
	}
	w.flag(e.crowd != nil)
	if e.crowd != nil {
		w.crowd(e.crowd)
	}
}

func (r *learnedReader) endpoint(views map[string]*learnedView) *learnedEndpoint {
	e := &learnedEndpoint{view: views[r.text()]}
	e.key, e.pool = r.text(), r.flag()
	e.first, e.newest, e.served, e.periods, e.watched, e.asked = r.int(), r.int(), r.int(), r.int(), r.int(), r.int()
	e.usual = r.float()
	e.tally.requests = r.int()
	for i := range e.tally.classes {
		e.tally.classes[i] = r.int()
	}
	e.tally.clients = r.clients()
	for i := range e.series {
		if r.flag() {
			e.series[i] = new(Series)
			r.wrong = e.series[i].RestoreState(r.bytes(seriesBytes)) != nil || r.wrong
		}
	}
	for i := range e.latency {
		if r.flag() {
			e.latency[i] = new(Latency)
			r.wrong = e.latency[i].RestoreState(r.bytes(latencyStateBytes)) != nil || r.wrong
		}
	}
	e.sizes = r.sizes()
	for range r.count(11) {
		e.doubts = append(e.doubts, doubt{figure: r.figure(), periods: r.int(), down: r.flag(), strength: r.float()})
	}
	for range r.count(41) {
		p := episode{rule: r.text(), version: r.text(), figure: r.figure(), opened: r.int(), seen: r.int(), samples: r.int(), calm: uint8(r.int()), reminders: r.int()}
		p.down = r.flag()
		p.usual, p.now, p.peak, p.score = r.float(), r.float(), r.float(), r.float()
		e.episodes = append(e.episodes, p)
	}
	if r.flag() {
		e.crowd = r.crowd()
	}
	return e
}

// The lengths of an encoded Series and Latency, with their versions.
var (
	seriesBytes       = 1 + binary.Size(seriesState{})
	latencyStateBytes = 1 + binary.Size(latencyState{})
)

func (r *learnedReader) figure() figure { return figure(r.small(int64(figures))) }

// small reads a number from 0 to below a limit.
func (r *learnedReader) small(limit int64) int64 {
	n := r.int()
	if n < 0 || n >= limit {
		r.wrong = true
		return 0
	}
	return n
}

// clients writes hashes, which rise, as their differences.
func (w *learnedWriter) clients(hashes []uint32) {
	w.int(int64(len(hashes)))
	before := uint32(0)
	for _, h := range hashes {
		w.int(int64(h - before))
		before = h
	}
}

func (r *learnedReader) clients() []uint32 {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	hashes := make([]uint32, n)
	before := uint32(0)
	for i := range hashes {
		before += uint32(r.int())
		hashes[i] = before
	}
	r.wrong = r.wrong || n > schemas.SummaryClients
	return hashes
}

func (w *learnedWriter) merged(m *mergedSummary) {
	w.text(m.View)
	w.text(m.Endpoint)
	w.flag(m.Pooled)
	w.int(m.Requests, m.Bytes, m.LatencyUS)
	w.int(m.Classes[:]...)
	w.int(int64(len(m.Latency)))
	for _, b := range m.Latency {
		w.int(int64(b.Bin), b.Count)
	}
	w.int(int64(len(m.Evidence)))
	for _, v := range m.Evidence {
		w.int(v.Time, int64(v.Hash))
		w.float(v.Latency)
	}
	w.clients(m.Clients)
	w.int(int64(len(m.from)))
	for _, p := range m.from {
		w.int(int64(p))
	}
	w.mergedSizes(m.Sizes, m.Start)
	w.peers(m.Peers)
}

func (r *learnedReader) merged(views map[string]*learnedView, start int64) *mergedSummary {
	m := &mergedSummary{Summary: schemas.Summary{View: r.text(), Endpoint: r.text(), Pooled: r.flag(), Start: start}}
	m.view = views[m.View]
	m.Requests, m.Bytes, m.LatencyUS = r.int(), r.int(), r.int()
	for i := range m.Classes {
		m.Classes[i] = r.int()
	}
	for range r.count(2) {
		bin := r.int()
		r.wrong = r.wrong || bin < 0 || bin >= schemas.LatencyBins
		m.Latency = append(m.Latency, schemas.BinCount{Bin: uint8(bin), Count: r.int()})
	}
	for range r.count(10) {
		m.Evidence = append(m.Evidence, schemas.LatencyEvidence{Time: r.int(), Hash: uint32(r.int()), Latency: r.float()})
	}
	m.Clients = r.clients()
	for range r.count(1) {
		m.from = append(m.from, int32(r.int()))
	}
	m.Sizes = r.mergedSizes(start)
	m.Peers = r.peers()
	return m
}
