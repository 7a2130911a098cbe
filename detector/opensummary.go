package detector

import (
	"unsafe"

	"github.com/apiwarden/apiwarden/schemas"
)

// openSummary is a summary that events are still added to. Of an endpoint with few of them
// it is what they said, so that endpoints that are called once, as somebody may invent
// them, take little memory; of others it is a tally.
type openSummary struct {
	tally    *tallied
	sizes    *schemas.Sizes // of views with rules about sizes; nil: none is known
	peers    *schemas.Peers // of views that compare clients: all that there is
	n        int            // of few
	copy     uint64         // the number of the last copy that has it, or was begun before it was there
	endpoint string         // its key
	start    int64          // of the bucket, s
	view     int
	pooled   bool
	few      [fewMeasures]measure
}

const fewMeasures = 4

// add adds an event.
func (x *openSummary) add(m *measure, pool *summaryPool) {
	if x.tally == nil {
		if x.n < fewMeasures {
			x.few[x.n] = *m
			x.n++
			return
		}
		x.tally = pool.tally()
		for i := range x.few {
			x.tally.add(&x.few[i])
		}
		x.n = 0
	}
	x.tally.add(m)
}

// measureSizes adds the sizes of an event that a view has rules about.
func (x *openSummary) measureSizes(kinds *sizeSet, o *observed, pool *summaryPool) {
	for k, judged := range kinds {
		if !judged {
			continue
		}
		size, known := sizeOf(o.Event, schemas.SizeKind(k))
		if !known {
			continue
		}
		if x.sizes == nil {
			x.sizes = pool.sizing()
		}
		x.sizes[k].Add(schemas.LargeEvent{Time: o.time, Size: size, Client: o.client})
	}
}

// fill makes s the summary, in the lists that s has.
func (x *openSummary) fill(s *schemas.Summary) {
	*s = schemas.Summary{Endpoint: x.endpoint, Pooled: x.pooled, Start: x.start, Latency: s.Latency[:0], Evidence: s.Evidence[:0], Clients: s.Clients[:0]}
	s.Peers, s.Sizes = x.peers, x.sizes
	if x.tally != nil {
		x.tally.fill(s)
		return
	}
	for i := range x.few[:x.n] {
		m := &x.few[i]
		s.Requests++
		if int(m.class) < len(s.Classes) {
			s.Classes[m.class]++
		}
		s.Bytes += m.bytes
		s.AddClient(m.client)
		if m.timed {
			s.LatencyUS += m.micros()
			s.AddLatency(uint8(schemas.LatencyBinOf(m.ms)), 1)
			s.AddEvidence(schemas.LatencyEvidence{Time: x.start*second + int64(m.after), Latency: m.ms, Hash: m.hash})
		}
	}
}

// tallied is what a schemas.Summary has of the events of an endpoint, in a form in which an
// event touches few lines of memory: a fixed 1.3 KiB.
type tallied struct {
	requests, bytes, micros int64
	classes                 [5]uint32
	largest                 uint32 // of hashes
	clients                 uint8  // how many hashes there are
	pending                 uint8  // how many of fresh
	evidenced               [schemas.SummarySeconds]uint8
	_                       [4]byte                                                   // up to here it is one line,
	fresh                   [16]uint32                                                // hashes of clients that are not among the others yet: so those are seldom touched
	evidence                [schemas.SummarySeconds][schemas.SummaryEvidence]evidence // by second
	latency                 [schemas.LatencyBins]uint32
	hashes                  [schemas.SummaryClients]uint32 // of clients, rising
}

// evidence is a schemas.LatencyEvidence in its bucket.
type evidence struct {
	ms    float64
	after uint32 // the beginning of the bucket, µs
	hash  uint32
}

// add adds an event.
func (t *tallied) add(m *measure) {
	t.requests++
	if int(m.class) < len(t.classes) {
		t.classes[m.class]++
	}
	t.bytes += m.bytes
	if n := t.clients; n < schemas.SummaryClients || m.client < t.largest {
		t.fresh[t.pending] = m.client
		if t.pending++; int(t.pending) == len(t.fresh) {
			t.settle()
		}
	}
	if m.timed {
		t.micros += m.micros()
		t.latency[schemas.LatencyBinOf(m.ms)]++
		t.show(evidence{ms: m.ms, after: m.after, hash: m.hash})
	}
}

// settle puts the fresh hashes of clients among the others.
func (t *tallied) settle() {
	hashes := t.hashes[:t.clients]
	for _, c := range t.fresh[:t.pending] {
		hashes, _ = schemas.AddClient(hashes, c)
	}
	t.pending, t.clients = 0, uint8(len(hashes))
	if len(hashes) > 0 {
		t.largest = hashes[len(hashes)-1]
	}
}

// prefetch has what an event of the aspect's endpoint will touch brought into the
// processor's caches: at first the summary, then the parts of its tally that are known.
func (a *aspect) prefetch() {
	if a.summary != nil {
		prefetchAt(a.summary)
	}
}

func (a *aspect) prefetchTally(ev *schemas.Event) {
	if a.summary == nil || a.summary.tally == nil {
		return
	}
	t := a.summary.tally
	prefetchAt(t)
	if after := ev.Time - a.from; after >= 0 && after < bucketMicros {
		prefetchAt(&t.evidence[after/second])
	}
	prefetchAt(&t.fresh)
	prefetchAt(&t.latency[24]) // 4 to 60 ms
	prefetchAt(&t.latency[40])
}

func prefetchAt[T any](p *T) { prefetch((*uint64)(unsafe.Pointer(p))) }

// show adds to the evidence of a second, as schemas.Summary.AddEvidence does.
func (t *tallied) show(v evidence) {
	at := v.after / 1e6
	list, n := &t.evidence[at], t.evidenced[at]
	if n < schemas.SummaryEvidence {
		list[n] = v
		t.evidenced[at]++
		return
	}
	worst := 0
	for i := range list {
		if list[worst].before(&list[i]) {
			worst = i
		}
	}
	if v.before(&list[worst]) {
		list[worst] = v
	}
}

// before says which evidence of a second is preferred; see schemas.LatencyEvidence.Compare.
func (v *evidence) before(o *evidence) bool {
	if v.hash != o.hash {
		return v.hash < o.hash
	}
	return v.after < o.after || v.after == o.after && v.ms < o.ms
}

// fill adds the tally to an empty summary.
func (t *tallied) fill(s *schemas.Summary) {
	s.Requests, s.Bytes, s.LatencyUS = t.requests, t.bytes, t.micros
	for i, n := range t.classes {
		s.Classes[i] = int64(n)
	}
	for bin, n := range t.latency {
		if n > 0 {
			s.Latency = append(s.Latency, schemas.BinCount{Bin: uint8(bin), Count: int64(n)})
		}
	}
	for at, n := range t.evidenced {
		for _, v := range t.evidence[at][:n] {
			s.AddEvidence(schemas.LatencyEvidence{Time: s.Start*second + int64(v.after), Latency: v.ms, Hash: v.hash})
		}
	}
	t.settle()
	s.Clients = append(s.Clients, t.hashes[:t.clients]...)
}
