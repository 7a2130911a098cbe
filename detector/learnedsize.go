package detector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/apiwarden/apiwarden/schemas"
)

// sizeRules are the rules of a view that judge one size alike.
type sizeRules struct {
	kind        schemas.SizeKind
	sensitivity Sensitivity
	rules       []*Rule
}

// judgesSize adds a rule to those that judge a size.
func (v *learnedView) judgesSize(r *Rule) {
	kind, ok := r.Metric.sizeKind()
	if !ok {
		return
	}
	s := SensitivityOf(r.Sensitivity)
	i := slices.IndexFunc(v.sizes, func(x sizeRules) bool { return x.kind == kind && x.sensitivity == s })
	if i < 0 {
		i = len(v.sizes)
		v.sizes = append(v.sizes, sizeRules{kind: kind, sensitivity: s})
	}
	v.sizes[i].rules = append(v.sizes[i].rules, r)
}

// learnedSize is what is known of a size of an endpoint's requests, for a sensitivity: what is
// far too large for one is not learned in full.
type learnedSize struct {
	kind        schemas.SizeKind
	sensitivity Sensitivity
	memory      sizeMemory
}

const learnedSizeBytes = int64(unsafe.Sizeof(learnedSize{}))

// size gives what is known of a size. If that is nothing and there is no room, it is nil.
func (e *learnedEndpoint) size(k schemas.SizeKind, s Sensitivity, room bool) *sizeMemory {
	for i := range e.sizes {
		if x := &e.sizes[i]; x.kind == k && x.sensitivity == s {
			return &x.memory
		}
	}
	if !room {
		return nil
	}
	e.sizes = slices.Concat(e.sizes, []learnedSize{{kind: k, sensitivity: s}}) // no room for more: it counts
	return &e.sizes[len(e.sizes)-1].memory
}

// judgeSizes judges how large the requests of 10 s were.
func (c *closing) judgeSizes(e *learnedEndpoint, s *schemas.Summary) {
	if s.Sizes == nil {
		return
	}
	start := c.end - schemas.SummarySeconds
	for i := range e.view.sizes {
		x := &e.view.sizes[i]
		counts := &s.Sizes[x.kind]
		if len(counts.Largest) == 0 {
			continue
		}
		m := e.size(x.kind, x.sensitivity, c.shard.has(roomForLatency))
		if m == nil {
			continue
		}
		f, found := m.observe(counts, start, x.kind, x.sensitivity)
		for _, r := range x.rules {
			at := e.episode(sizeFigure(x.kind), r)
			switch {
			case at >= 0:
				e.episodes[at].goOnLarge(float64(counts.Largest[0].Size), x)
			case found:
				c.openSize(e, r, x.kind, &f)
			}
		}
	}
}

// openSize opens an episode by a request that is too large.
func (c *closing) openSize(e *learnedEndpoint, r *Rule, k schemas.SizeKind, f *sizeFinding) {
	size := float64(f.large[0].Size)
	p := episode{
		rule: r.ID, version: r.Version, figure: sizeFigure(k), opened: c.end - schemas.SummarySeconds, seen: f.large[0].Time,
		usual: f.usual, now: size, peak: size, score: 1 - 0.5*f.limit/size, samples: f.samples,
	}
	c.tell(e, r, &p, schemas.PhaseOpen, p.seen, f.sentence(e.key, k))
	e.episodes = append(e.episodes, p)
}

// goOnLarge takes in the largest request of a bucket while an episode is open.
func (p *episode) goOnLarge(size float64, x *sizeRules) {
	switch {
	case size > sizeLimit(p.usual, x.kind, x.sensitivity):
		p.calm = 0
		p.follow(size)
	case p.calm > 0: // else the reminder would tell of one that is as usual
		p.follow(size)
	}
}

// sentence says who sent what, and what is usual.
func (f *sizeFinding) sentence(endpoint string, k schemas.SizeKind) string {
	first := &f.large[0]
	s := fmt.Sprintf(sizeWords[k], first.Client, bytesText(float64(first.Size)), endpoint)
	if len(f.large) > 1 {
		s += fmt.Sprintf(", and %s one of %s", f.large[1].Client, bytesText(float64(f.large[1].Size)))
	}
	return s + fmt.Sprintf("; of %d requests before, nearly all had at most %s, and half at most %s", f.samples, bytesText(f.usual), bytesText(f.half))
}

// sizeWords are how sentences call the sizes.
var sizeWords = [schemas.SizeKinds]string{
	schemas.SizeRequest:  "%s sent a request of %s to %s",
	schemas.SizeQuery:    "%s sent a query of %s to %s",
	schemas.SizeResponse: "%s got an answer of %s from %s",
}

// bytesText writes a number of bytes for people.
func bytesText(n float64) string {
	for _, u := range []struct {
		bytes float64
		name  string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.bytes {
			return threeDigits(n/u.bytes) + " " + u.name
		}
	}
	return threeDigits(n) + " B"
}

// LearnedSize is how large requests are, in bytes.
type LearnedSize struct {
	Metric  Metric  `json:"metric"`
	P50     float64 `json:"p50"`
	P9999   float64 `json:"p9999"`   // what nearly all are
	Largest float64 `json:"largest"` // as it was learned: what is far too large counts as what just is
	Samples int64   `json:"samples"` // requests, those long ago counting less
}

// learnedSizes is what is known of each size, by the first sensitivity that judges it, and
// whether all of them can be judged.
func (e *learnedEndpoint) learnedSizes() (all []LearnedSize, ready bool) {
	ready = true
	for i := range e.sizes {
		x := &e.sizes[i]
		m := Metric(x.kind.String())
		if slices.ContainsFunc(all, func(l LearnedSize) bool { return l.Metric == m }) {
			continue
		}
		all = append(all, LearnedSize{Metric: m, P50: x.memory.usual(0.5), P9999: x.memory.usual(sizeShare), Largest: x.memory.state.Largest, Samples: x.memory.samples()})
		ready = ready && x.memory.ready(e.newest)
	}
	return all, ready && len(all) > 0
}

// sizes writes what is known of sizes: the fields of each sizeState in their order.
func (w *learnedWriter) sizes(list []learnedSize) {
	w.int(int64(len(list)))
	for i := range list {
		x := &list[i]
		w.int(int64(x.kind), int64(x.sensitivity))
		b, err := binary.Append(w.b, binary.LittleEndian, &x.memory.state)
		if err != nil {
			panic(err) // a struct of numbers always has an encoding
		}
		w.b = b
	}
}

func (r *learnedReader) sizes() (list []learnedSize) {
	size := binary.Size(sizeState{})
	for range r.count(size) {
		x := learnedSize{kind: schemas.SizeKind(r.small(int64(schemas.SizeKinds))), sensitivity: Sensitivity(r.small(int64(sensitivityCount)))}
		b := r.bytes(size)
		if r.wrong {
			return nil
		}
		if _, err := binary.Decode(b, binary.LittleEndian, &x.memory.state); err != nil || x.memory.state.check() != nil {
			r.wrong = true
		}
		list = append(list, x)
	}
	return list
}

// check refuses what no learning leads to.
func (s *sizeState) check() error {
	if !(s.Largest >= 0 && s.Largest <= mostBytes) || s.First < 0 || s.Day < 0 || s.Day > 1<<40 || s.Least < 0 || s.Most < s.Least || s.Most > mostBytes || s.Told < 0 {
		return errors.New("it says what cannot be")
	}
	return s.Usual.check()
}

// mergedSizes writes what is in an open bucket.
func (w *learnedWriter) mergedSizes(s *schemas.Sizes, start int64) {
	w.flag(s != nil)
	if s != nil {
		w.b = appendSizes(w.b, s, start)
	}
}

func (r *learnedReader) mergedSizes(start int64) *schemas.Sizes {
	if !r.flag() {
		return nil
	}
	s := &schemas.Sizes{}
	from := summaryReader{b: r.b}
	if from.sizes(s, start); from.err != nil {
		r.wrong, r.b = true, nil
		return nil
	}
	r.b = from.b
	return s
}
