package detector

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// mostViewBuckets bounds the product of the views and the buckets of a copy.
const mostViewBuckets = 1 << 18

// restoreSummaries puts the open summaries back as a copy says. They wait until the engine
// is where the copy was begun: on the way there the program may become the one whose views
// they are of. After an error there are none.
func (e *Engine) restoreSummaries(h SnapshotHeader, copied []byte) error {
	e.summaries = summaries{views: e.program.viewIDs()}
	head, lists, err := cutSnapshot(copied)
	if err != nil {
		return err
	}
	var rest summaryRest
	if err := json.Unmarshal(head, &rest); err != nil {
		return fmt.Errorf("reading what precedes the summaries of a snapshot: %w", err)
	}
	if rest.Format != summaryFormat {
		return fmt.Errorf("%w: its summaries are of format %d, known is %d", ErrSnapshotVersion, rest.Format, summaryFormat)
	}
	s := summaries{views: rest.Views, next: h.Next, waiting: true}
	if rest.Started {
		s.closeUntil(rest.Closed)
		s.told = s.closed
	}
	s.copying.number = h.Number
	r := summaryReader{s: &s, b: lists, topic: e.opts.Topic, partition: e.opts.Partition}
	if err := r.buckets(rest.Buckets); err != nil {
		return fmt.Errorf("restoring open summaries: %w", err)
	}
	for range rest.Summaries {
		if err := r.summary(); err != nil {
			return fmt.Errorf("restoring open summaries: %w", err)
		}
	}
	if len(r.b) > 0 {
		return fmt.Errorf("restoring open summaries: %d bytes follow the last one", len(r.b))
	}
	e.summaries = s
	e.wake = min(e.wake, h.Next)
	e.restored = append(e.restored, h)
	return nil
}

// wakeSummaries has restored summaries go on, where they contain what precedes an offset
// and no more.
func (e *Engine) wakeSummaries(offset int64) {
	s := &e.summaries
	switch {
	case !s.waiting:
	case s.next <= offset:
		s.waiting = false
		s.align(e.program)
	default:
		e.wake = min(e.wake, s.next)
	}
}

// summaryReader reads open summaries. Nothing that it reads is trusted: what later work
// relies on is checked, so that a snapshot that is wrong is an error, not a panic.
type summaryReader struct {
	s         *summaries
	b         []byte
	topic     string
	partition int32
}

var (
	errSummaryCut   = errors.New("they are cut")
	errSummaryOrder = errors.New("a list is out of order")
)

// buckets opens the buckets of a copy.
func (r *summaryReader) buckets(saved []savedBucket) error {
	if len(saved)*len(r.s.views) > mostViewBuckets {
		return fmt.Errorf("there are %d buckets of %d views", len(saved), len(r.s.views))
	}
	last := r.s.closed - schemas.SummarySeconds
	for _, x := range saved {
		if x.Start <= last || x.Start > math.MaxInt64/second-schemas.SummarySeconds || mod(x.Start, schemas.SummarySeconds) != 0 || x.Requests < 0 {
			return fmt.Errorf("a bucket begins at %d, with %d requests", x.Start, x.Requests)
		}
		last = x.Start
		b := r.s.pool.bucket(x.Start*second, len(r.s.views))
		b.requests = x.Requests
		for _, view := range x.Full {
			if view < 0 || view >= len(b.views) {
				return fmt.Errorf("a bucket is full of view %d, of which there are %d", view, len(b.views))
			}
			b.views[view].full = true
		}
		r.s.open = append(r.s.open, b)
	}
	return nil
}

// number reads a number that is not negative, and not over most.
func (r *summaryReader) number(most int64) (int64, error) {
	n, size := binary.Uvarint(r.b)
	switch {
	case size <= 0:
		return 0, errSummaryCut
	case n > uint64(most):
		return 0, fmt.Errorf("a number is %d, at most it can be %d", n, most)
	}
	r.b = r.b[size:]
	return int64(n), nil
}

// cut takes bytes off.
func (r *summaryReader) cut(n int64) ([]byte, error) {
	if n > int64(len(r.b)) {
		return nil, errSummaryCut
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b, nil
}

// summary reads one summary.
func (r *summaryReader) summary() error {
	var front [3]int64 // view and whether it is pooled, bucket, length of the key
	for i, most := range []int64{int64(len(r.s.views))*2 - 1, math.MaxInt64 / (2 * bucketMicros), longestKey + 2} {
		n, err := r.number(most)
		if err != nil {
			return err
		}
		front[i] = n
	}
	key, err := r.cut(front[2])
	if err != nil {
		return err
	}
	start := r.s.closed + front[1]*schemas.SummarySeconds
	at, there := slices.BinarySearchFunc(r.s.open, start, func(b *openBucket, start int64) int { return int(b.start - start) })
	if !there {
		return fmt.Errorf("a summary is of %d, where no bucket is open", start)
	}
	b, view := r.s.open[at], int(front[0]>>1)
	if b.views[view].endpoints[string(key)] != nil {
		return fmt.Errorf("%q is there twice", key)
	}
	x := r.s.pool.take()
	x.Version, x.View, x.Endpoint, x.Pooled = schemas.SummaryVersion, r.s.views[view], string(key), front[0]&1 == 1
	x.Topic, x.Partition, x.Start = r.topic, r.partition, start
	x.view, x.copy = view, r.s.copying.number
	if err := r.lists(x); err != nil {
		return err
	}
	r.s.pool.bytes += x.listBytes()
	b.put(x)
	return nil
}

// lists reads the numbers of a summary.
func (r *summaryReader) lists(x *openSummary) (err error) {
	for _, n := range []*int64{&x.Classes[0], &x.Classes[1], &x.Classes[2], &x.Classes[3], &x.Classes[4], &x.Requests, &x.Bytes, &x.LatencyUS} {
		if *n, err = r.number(math.MaxInt64); err != nil {
			return err
		}
	}
	if err := r.latency(x); err != nil {
		return err
	}
	if err := r.evidence(x); err != nil {
		return err
	}
	n, err := r.number(schemas.SummaryClients)
	if err != nil {
		return err
	}
	clients, err := r.cut(4 * n)
	for ; len(clients) > 0; clients = clients[4:] {
		x.Clients = append(x.Clients, binary.LittleEndian.Uint32(clients))
	}
	for i := 1; i < len(x.Clients); i++ {
		if x.Clients[i-1] >= x.Clients[i] {
			return errSummaryOrder
		}
	}
	if err != nil {
		return err
	}
	return r.peers(x)
}

func (r *summaryReader) peers(x *openSummary) error {
	n, err := r.number(schemas.PeerBins)
	for i := 0; i < int(n) && err == nil; i++ {
		var bin int64
		if bin, err = r.number(schemas.PeerBins - 1); err != nil {
			break
		}
		count, size := binary.Varint(r.b)
		if size <= 0 {
			return errSummaryCut
		}
		r.b = r.b[size:]
		if i > 0 && bin <= int64(x.peers.Moves[i-1].Bin) || count == 0 {
			return errSummaryOrder
		}
		x.peers.Moves = append(x.peers.Moves, schemas.PeerMove{Bin: uint8(bin), Count: count})
	}
	if err != nil {
		return err
	}
	n, err = r.number(schemas.PeerTops)
	for i := 0; i < int(n) && err == nil; i++ {
		var b []byte
		if b, err = r.cutText(longestClient); err != nil {
			break
		}
		t := schemas.PeerTotal{Client: string(b)}
		if b, err = r.cut(8); err != nil {
			break
		}
		t.Total = math.Float64frombits(binary.LittleEndian.Uint64(b))
		if !(t.Total >= 0) || i > 0 && t.Total > x.peers.Tops[i-1].Total {
			return errSummaryOrder
		}
		x.peers.Tops = append(x.peers.Tops, t)
	}
	if len(x.peers.Moves)+len(x.peers.Tops) > 0 {
		x.Peers = &x.peers
	}
	return err
}

// longestClient is how long an address or a network is, at most.
const longestClient = 64

// cutText takes a text off that follows its length.
func (r *summaryReader) cutText(most int64) ([]byte, error) {
	n, err := r.number(most)
	if err != nil {
		return nil, err
	}
	return r.cut(n)
}

func (r *summaryReader) latency(x *openSummary) error {
	n, err := r.number(schemas.LatencyBins)
	for i := 0; i < int(n) && err == nil; i++ {
		var bin, count int64
		if bin, err = r.number(schemas.LatencyBins - 1); err != nil {
			break
		}
		if count, err = r.number(math.MaxInt64); err != nil {
			break
		}
		if i > 0 && bin <= int64(x.Latency[i-1].Bin) {
			return errSummaryOrder
		}
		x.Latency = append(x.Latency, schemas.LatencyBin{Bin: uint8(bin), Count: count})
	}
	return err
}

func (r *summaryReader) evidence(x *openSummary) error {
	n, err := r.number(schemas.SummaryEvidence * schemas.SummarySeconds)
	for i := 0; i < int(n) && err == nil; i++ {
		var after int64
		if after, err = r.number(bucketMicros - 1); err != nil {
			break
		}
		var b []byte
		if b, err = r.cut(12); err != nil {
			break
		}
		v := schemas.LatencyEvidence{
			Time: x.Start*second + after, Latency: math.Float64frombits(binary.LittleEndian.Uint64(b)), Hash: binary.LittleEndian.Uint32(b[8:]),
		}
		if !(v.Latency >= 0 && v.Latency <= math.MaxFloat64) || i > 0 && v.Time < x.Evidence[i-1].Time {
			return errSummaryOrder
		}
		x.Evidence = append(x.Evidence, v)
	}
	return err
}
