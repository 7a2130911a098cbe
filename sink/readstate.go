package sink

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// StateReadOpts are the options of a client that reads the state topic.
func StateReadOpts() []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(250 * time.Millisecond),
		kgo.FetchMaxBytes(32 << 20),
		kgo.FetchMaxPartitionBytes(8 << 20),
	}
}

const (
	// stateTail is how many of a partition's last offsets are read first. One of
	// ours among them says from where on everything lies.
	stateTail = 64
	// stateSilence is how long nothing may come of a partition whose leader is there
	// before it is taken as read.
	stateSilence = 15 * time.Second
)

// StoredState is what the state topic holds for a partition of the input.
type StoredState struct {
	Pieces     []*StoredPiece // complete, by shard and slot
	Incomplete []StateSlot    // parts are missing, or of different pieces
	Unreadable []error        // records that no version of us wrote, or another one
	Records    int            // read
}

// ReadState reads what group remembers of partitions of the topic input. It reads
// no other partition, and of these only what is still needed. cl was made with
// StateReadOpts, consumes nothing else and is closed by the caller. An error may pass,
// but for a PermanentError.
func ReadState(ctx context.Context, cl *kgo.Client, topic, group, input string, partitions []int32) (map[int32]*StoredState, error) {
	starts, ends, err := stateEnds(ctx, cl, topic)
	if err != nil {
		return nil, err
	}
	readers := make(map[int32]*stateReader)
	open := make(map[int32]*stateReader) // what has to be read now
	for _, p := range partitions {
		r := &stateReader{owner: pieceOwner(group, input, p), start: starts[p], end: ends[p], tail: stateTail}
		readers[p] = r
		if r.end > r.start {
			open[p] = r
			r.seek(max(r.start, r.end-r.tail))
		}
	}
	for len(open) > 0 {
		if err := readRanges(ctx, cl, topic, open); err != nil {
			return nil, err
		}
		for p, r := range open {
			if !r.further() {
				delete(open, p)
			}
		}
	}
	out := make(map[int32]*StoredState, len(readers))
	for p, r := range readers {
		out[p] = r.state()
	}
	return out, nil
}

func stateEnds(ctx context.Context, cl *kgo.Client, topic string) (starts, ends map[int32]int64, err error) {
	adm := kadm.NewClient(cl)
	list := func(ask func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
		listed, err := ask(ctx, topic)
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return nil, refusedOr("looking for the ends of topic "+topic, err)
		}
		at := make(map[int32]int64)
		listed.Each(func(o kadm.ListedOffset) { at[o.Partition] = o.Offset })
		return at, nil
	}
	if starts, err = list(adm.ListStartOffsets); err == nil {
		ends, err = list(adm.ListEndOffsets)
	}
	return starts, ends, err
}

// stateReader reads one partition.
type stateReader struct {
	owner      string
	start, end int64 // of the partition
	tail       int64
	at         int64 // where reading began
	next       int64 // the first offset that is not read
	found      bool  // the range that was looked at first has records of ours
	from       int64 // the smallest offset that they ask for
	complete   bool  // the range at hand has everything
	parts      map[StateSlot]map[int]*part
	offsets    map[StateSlot]map[int]int64
	bad        []error
	records    int
}

func (r *stateReader) seek(at int64) {
	r.at, r.next, r.bad = at, at, nil
	r.parts, r.offsets = make(map[StateSlot]map[int]*part), make(map[StateSlot]map[int]int64)
}

// further says whether another, longer range has to be read.
func (r *stateReader) further() bool {
	switch {
	case r.complete || r.at <= r.start:
		return false
	case r.found && r.from >= r.at:
		return false
	case r.found:
		r.complete = true
		r.seek(max(r.from, r.start))
	default: // others write to the topic too
		r.tail *= 32
		r.seek(max(r.start, r.end-r.tail))
	}
	return true
}

func (r *stateReader) take(rec *kgo.Record) {
	r.next = max(r.next, rec.Offset+1)
	slot, number, ours := parsePieceKey(r.owner, rec.Key)
	if !ours || rec.Offset >= r.end {
		return
	}
	r.records++
	if r.parts[slot] == nil {
		r.parts[slot], r.offsets[slot] = make(map[int]*part), make(map[int]int64)
	}
	delete(r.parts[slot], number)
	if rec.Value == nil {
		return
	}
	p, err := parsePart(rec.Value)
	if err != nil {
		r.bad = append(r.bad, fmt.Errorf("reading %s/%d@%d: %w", rec.Topic, rec.Partition, rec.Offset, err))
		return
	}
	r.parts[slot][number], r.offsets[slot][number] = p, rec.Offset
	if !r.complete {
		if !r.found {
			r.from = p.piece.From
		}
		r.found, r.from = true, min(r.from, p.piece.From)
	}
}

func (r *stateReader) state() *StoredState {
	s := &StoredState{Unreadable: r.bad, Records: r.records}
	for slot, parts := range r.parts {
		if piece := complete(slot, parts, r.offsets[slot]); piece != nil {
			s.Pieces = append(s.Pieces, piece)
		} else if len(parts) > 0 {
			s.Incomplete = append(s.Incomplete, slot)
		}
	}
	bySlot := func(a, b StateSlot) int { return cmp.Or(a.Shard-b.Shard, a.Slot-b.Slot) }
	slices.SortFunc(s.Pieces, func(a, b *StoredPiece) int { return bySlot(a.StateSlot, b.StateSlot) })
	slices.SortFunc(s.Incomplete, bySlot)
	return s
}

// readRanges reads partitions, each from its at to its end.
func readRanges(ctx context.Context, cl *kgo.Client, topic string, readers map[int32]*stateReader) error {
	from := make(map[int32]kgo.Offset)
	left := make(map[int32]bool)
	for p, r := range readers {
		from[p] = kgo.NewOffset().At(r.at)
		left[p] = true
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	defer func() {
		var all []int32
		for p := range readers {
			all = append(all, p)
		}
		cl.RemoveConsumePartitions(map[string][]int32{topic: all})
	}()
	for last := time.Now(); len(left) > 0; {
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fetches := cl.PollRecords(poll, 10_000)
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("reading topic %s: %w", topic, context.Cause(ctx))
		}
		if err := fetchError(fetches); err != nil {
			return err
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if r := readers[rec.Partition]; r != nil {
				last = time.Now()
				r.take(rec)
				if r.next >= r.end {
					delete(left, rec.Partition)
				}
			}
		})
		if time.Since(last) > stateSilence {
			// Compaction may have taken the last record. An outage looks the same, but
			// then nobody answers here.
			if _, _, err := stateEnds(ctx, cl, topic); err != nil {
				return err
			}
			return nil
		}
	}
	return nil
}
