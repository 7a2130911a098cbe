package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/sink"
)

// onOffsets restores the partitions that are added to the assignment and says from
// where on they are read.
func (s *session) onOffsets(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	restored, err := arriving(ctx, &s.member, &s.arrivals, func() (map[topicPartition]*partition, error) { return s.restoreAll(ctx, offsets) })
	if err != nil {
		return nil, err
	}
	for tp, p := range restored {
		if was := offsets[tp.topic][tp.partition]; was.EpochOffset().Offset != p.next || was == s.unset {
			offsets[tp.topic][tp.partition] = kgo.NewOffset().At(p.next)
		}
	}
	return offsets, nil
}

// gained is a partition of which everything is known that restoring it takes.
type gained struct {
	tp         topicPartition
	committed  int64 // -1: nothing
	resolved   int64 // where kafka.start has us begin
	start, end int64 // of the log
	endEpoch   int32 // of the leader at end
	topicID    [16]byte
}

// restoreAll restores partitions, side by side.
func (s *session) restoreAll(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[topicPartition]*partition, error) {
	out := make(map[topicPartition]*partition)
	for topic, partitions := range offsets {
		logs, err := s.logsOf(ctx, topic, partitions)
		if err != nil {
			return nil, err
		}
		stored, err := s.readState(ctx, s.stateClient, topic, int(s.inputs.Load()), slices.Sorted(maps.Keys(partitions)))
		if err != nil {
			return nil, err
		}
		var mu sync.Mutex
		var work errgroup.Group
		work.SetLimit(runtime.GOMAXPROCS(0))
		for n := range partitions {
			work.Go(func() error {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				g := logs[n]
				p, err := s.restore(&g, stored[n])
				if err != nil {
					return fmt.Errorf("restoring %s/%d: %w", topic, n, err)
				}
				mu.Lock()
				defer mu.Unlock()
				out[g.tp] = p
				return nil
			})
		}
		if err := work.Wait(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readState reads what is remembered of partitions of a topic that has total ones, and sees
// to it, with the client that will write it, that there is room for what will be.
func (m *member) readState(ctx context.Context, writer *kgo.Client, topic string, total int, partitions []int32) (map[int32]*sink.StoredState, error) {
	if err := sink.EnsureStatePartitions(ctx, writer, m.cfg.Kafka, m.cfg.Topics.State, total); err != nil {
		return nil, err
	}
	cl, err := sink.Connect(ctx, m.cfg.Kafka, m.log, append(sink.StateReadOpts(), m.deps.Kafka...)...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return sink.ReadState(ctx, cl, m.cfg.Topics.State, m.cfg.Kafka.Group, topic, partitions)
}

// logsOf asks what there is of the partitions of a topic, and where those begin that
// the group has no offset of.
func (s *session) logsOf(ctx context.Context, topic string, partitions map[int32]kgo.Offset) (map[int32]gained, error) {
	adm := kadm.NewClient(s.stateClient) // the group's client calls us before we have it
	stats := s.cfg.Topics.EndpointStats
	about, err := adm.ListTopics(ctx, topic, stats)
	if err == nil {
		err = about[topic].Err
	}
	if err != nil {
		return nil, refusalOr("looking at topic "+topic, err)
	}
	switch err := about[stats].Err; {
	case err == nil:
		s.detect.readers.Store(int32(len(about[stats].Partitions)))
	case learns(s.detect.rules.Load()): // it was there at the start: this broker has not heard of it yet
		return nil, refusalOr("looking at topic "+stats, err)
	default: // it is missing where nobody needs it and we may not create it
		s.detect.readers.CompareAndSwap(0, -1)
	}
	known := max(len(about[topic].Partitions), int(s.inputs.Load())) // a topic grows, and not all brokers know it at once
	for n := range partitions {
		known = max(known, int(n)+1) // what was asked lately is not asked again
	}
	s.inputs.Store(int64(known))
	starts, err := listed(adm.ListStartOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	// Read-committed, as we read: what lies behind an open transaction is not there yet.
	ends, err := listed(adm.ListCommittedOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	recent, err := listed(adm.ListOffsetsAfterMilli(ctx, time.Now().Add(-resetBack).UnixMilli(), topic))
	if err != nil {
		return nil, err
	}
	begin := starts
	switch milli := s.unset.EpochOffset().Offset; {
	case s.unset == kgo.NewOffset().AtEnd():
		begin = ends
	case s.unset != kgo.NewOffset().AtStart():
		if begin, err = listed(adm.ListOffsetsAfterMilli(ctx, milli, topic)); err != nil {
			return nil, err
		}
	}
	at := func(listed kadm.ListedOffsets, n int32) int64 {
		o, _ := listed.Lookup(topic, n)
		return o.Offset
	}
	out := make(map[int32]gained)
	for n, offset := range partitions {
		last, _ := ends.Lookup(topic, n)
		g := gained{
			endEpoch: last.LeaderEpoch,
			tp:       topicPartition{topic, n}, committed: -1, topicID: about[topic].ID,
			start: at(starts, n), end: at(ends, n), resolved: at(begin, n),
		}
		if offset != s.unset {
			g.committed = offset.EpochOffset().Offset
		}
		if g.committed > g.end {
			s.log.Error("the group has committed more than the log holds: it was cut off, or made anew; reading on from a minute ago",
				zap.String("topic", topic), zap.Int32("partition", n), zap.Int64("committed", g.committed), zap.Int64("end", g.end))
			s.deps.Metrics.DataLoss.Inc()
			g.committed, g.resolved = -1, min(at(recent, n), g.end)
		}
		out[n] = g
	}
	return out, nil
}

// restore brings back what is stored of a partition, as far as it can be used.
func (s *session) restore(g *gained, stored *sink.StoredState) (*partition, error) {
	began := time.Now()
	log := s.log.With(zap.String("topic", g.tp.topic), zap.Int32("partition", g.tp.partition))
	for _, err := range stored.Unreadable {
		log.Warn("a record of the state topic cannot be used", zap.Error(err))
	}
	p := &partition{tp: g.tp, committed: g.committed, start: g.start, end: g.end, topicID: g.topicID}
	p.kept.first = -1
	j := findJournal(g, stored, p, log)
	if j == nil {
		p.next = max(g.resolved, g.start)
		if g.committed >= 0 {
			p.next = max(g.committed, g.start)
			log.Info("nothing is stored of the partition: its counts start empty", zap.Int64("offset", p.next))
		}
		p.committed = p.next
		p.replay = &replay{muted: p.next, end: p.next, began: began, log: log}
		return p, nil
	}
	p.journal = j
	chosen, from, newest := s.choose(g, stored, j, log)
	p.rotation = newRotation(j.pieces(), time.Duration(s.cfg.State.Interval), p.kept.first, began)
	for shard, c := range chosen {
		p.rotation.found(shard, c.whole, c.changes, stored.Pieces)
	}
	if p.committed < 0 {
		p.committed = newest
	}
	p.next = from
	if from < g.start {
		lost := g.start - from
		log.Error("the log begins after what the snapshots contain: records were deleted before they were counted, counts may be too low",
			zap.Int64("needed_from", from), zap.Int64("log_start", g.start), zap.Int64("records", lost))
		s.deps.Metrics.RestoreLost.Add(float64(lost))
		p.next = g.start
	}
	p.replay = &replay{muted: max(p.committed, newest), began: began, log: log}
	p.replay.end = max(p.replay.muted, j.last().Offset, p.next)
	p.hold = j.untouched(p.replay.muted, g.end)
	if finished := max(p.next, newest); finished == g.end && g.committed < finished {
		p.uncommitted = kgo.EpochOffset{Epoch: g.endEpoch, Offset: finished}
	}
	if err := s.rewind(p, chosen); err != nil {
		return nil, err
	}
	log.Info("counts restored from snapshots, reading on from there", zap.Int("shards", len(chosen)), zap.Int64("from", p.next),
		zap.Int64("committed", g.committed), zap.Int64("records", min(p.replay.end, g.end)-p.next), zap.Duration("took", time.Since(began)))
	return p, nil
}

// newEngine makes the engine of a partition, with nothing counted.
func newEngine(tp topicPartition, j *journal, rules *detector.Program, b bound) *detector.Engine {
	return detector.NewEngine(rules, detector.Options{
		Topic: tp.topic, Partition: tp.partition, Shards: j.Shards, Seed: j.Seed, MaxBytes: b.Bytes, MaxEndpoints: b.Endpoints,
	})
}

// rewind makes the engine as it stood at p.next, and the steps from there on.
func (s *session) rewind(p *partition, chosen map[int]*chosenShard) error {
	if err := s.library.rewind(p); err != nil {
		return err
	}
	lost := chosen[p.journal.Shards] == nil && p.next > p.journal.begin()
	for shard, c := range chosen {
		if err := p.engine.Restore(c.wholeCopy, c.changesCopy); err != nil {
			s.deps.Metrics.SnapshotsUnusable.Inc()
			p.replay.log.Error("a snapshot that was chosen cannot be restored: counts of its shard start empty and may be too low", zap.Int("shard", shard), zap.Error(err))
			lost = lost || shard == p.journal.Shards
		}
	}
	if lost {
		p.engine.LoseSummaries()
	}
	p.resume()
	return nil
}

// listed gives an answer about offsets of topics, or the first error in it.
func listed(offsets kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	offsets.Each(func(o kadm.ListedOffset) {
		if err == nil && o.Err != nil {
			err = fmt.Errorf("%s/%d: %w", o.Topic, o.Partition, o.Err)
		}
	})
	if err != nil {
		return nil, refusalOr("looking for offsets", err)
	}
	return offsets, nil
}

// refusalOr gives err as a permanent one where asking again is pointless.
func refusalOr(doing string, err error) error {
	if perm := sink.Refusal(doing, err); perm != nil {
		return perm
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// findJournal gives the newest journal that can be used, and notes in p where it
// stands; nil: there is none.
func findJournal(g *gained, stored *sink.StoredState, p *partition, log *zap.Logger) *journal {
	var best *journal
	for _, piece := range stored.Pieces {
		if piece.Shard != sink.JournalShard || piece.Slot >= journalSlots {
			continue
		}
		p.kept.parts[piece.Slot] = piece.Parts
		data, err := piece.Unpack(nil)
		var j *journal
		if err == nil {
			j, err = decodeJournal(data)
		}
		if err != nil {
			log.Error("a journal of the state topic cannot be read", zap.Int("slot", piece.Slot), zap.Error(err))
			continue
		}
		if otherLog(piece, g) || j.begin() > g.end {
			log.Warn("what is stored of the partition is of another log with the same name: it is not used", zap.Int("slot", piece.Slot))
			continue
		}
		if best == nil || j.newer(best) {
			best, p.kept.first = j, piece.First
		}
	}
	return best
}

// otherLog: a topic was deleted, and made anew under the same name.
func otherLog(piece *sink.StoredPiece, g *gained) bool {
	none := [16]byte{}
	return piece.Log != none && g.topicID != none && piece.Log != g.topicID
}

// chosenShard is what a shard is restored from.
type chosenShard struct {
	whole, changes         *sink.StoredPiece
	wholeCopy, changesCopy []byte
	next                   int64 // the first offset that it does not contain
}

// choose gives for each shard the newest snapshot that can be used, from where the log
// has to be read, and the largest offset that a snapshot reaches.
func (s *session) choose(g *gained, stored *sink.StoredState, j *journal, log *zap.Logger) (chosen map[int]*chosenShard, from, newest int64) {
	var mu sync.Mutex
	chosen = make(map[int]*chosenShard)
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for shard := range j.pieces() {
		pieces := piecesOf(stored, shard)
		work.Go(func() error {
			c := s.chooseShard(g, pieces, j, log.With(zap.Int("shard", shard)))
			mu.Lock()
			defer mu.Unlock()
			if c != nil {
				chosen[shard] = c
			}
			return nil
		})
	}
	_ = work.Wait() // nothing fails
	from = 1<<63 - 1
	var missing []int
	for shard := range j.Shards {
		c := chosen[shard]
		if c == nil {
			from = min(from, j.begin())
			missing = append(missing, shard)
			continue
		}
		from, newest = min(from, c.next), max(newest, c.next)
	}
	switch c := chosen[j.Shards]; {
	case c != nil:
		from, newest = min(from, c.next), max(newest, c.next)
	case len(piecesOf(stored, j.Shards)) == 0: // whoever had it crashed before it was ever written: the log is short yet
		from = j.begin()
	default: // what was open is lost with it; that is not worth reading all of the log
	}
	if len(missing) > 0 {
		log.Warn("shards have no snapshot that can be used: their counts are made anew of the log, as far as it reaches",
			zap.Ints("shards", missing), zap.Int64("from", j.begin()))
	}
	return chosen, max(from, j.begin()), max(newest, j.begin())
}

func piecesOf(stored *sink.StoredState, shard int) []*sink.StoredPiece {
	var of []*sink.StoredPiece
	for _, piece := range stored.Pieces {
		if piece.Shard == shard && piece.Slot < 2*wholeSlots {
			of = append(of, piece)
		}
	}
	// The newest first.
	slices.SortFunc(of, func(a, b *sink.StoredPiece) int { return cmp.Compare(b.Next, a.Next) })
	return of
}

// chooseShard gives the newest whole copy that can be used, with the newest changes to
// it; nil: there is none.
func (s *session) chooseShard(g *gained, pieces []*sink.StoredPiece, j *journal, log *zap.Logger) *chosenShard {
	usable := func(piece *sink.StoredPiece) (data []byte, next int64) {
		if otherLog(piece, g) || piece.Next > g.end {
			log.Warn("a snapshot is of another log, or of one that went on further: it is not used", zap.Int64("offset", piece.Next), zap.Int64("end", g.end))
			return nil, 0
		}
		if !j.contains(piece.Entry, piece.Next) {
			log.Warn("a snapshot does not agree with the journal: it is not used", zap.Int64("offset", piece.Next))
			return nil, 0
		}
		data, err := piece.Unpack(nil)
		var h detector.SnapshotHeader
		if err == nil {
			h, err = detector.ReadSnapshotHeader(data)
		}
		if err == nil && (h.Shard != piece.Shard || h.Shards != j.Shards || h.Seed != j.Seed) {
			err = fmt.Errorf("it is of shard %d of %d, or has another seed", h.Shard, h.Shards)
		}
		if err != nil {
			s.deps.Metrics.SnapshotsUnusable.Inc()
			log.Error("a snapshot cannot be used", zap.Int64("offset", piece.Next), zap.Bool("other_version", errors.Is(err, detector.ErrSnapshotVersion)), zap.Error(err))
			return nil, 0
		}
		return data, h.Next
	}
	// A whole copy with changes to it may be newer than one that was written later.
	best := func(whole *sink.StoredPiece) int64 {
		for _, c := range pieces {
			if c.Base == whole.ID {
				return c.Next
			}
		}
		return whole.Next
	}
	wholes := slices.DeleteFunc(slices.Clone(pieces), func(p *sink.StoredPiece) bool { return p.Base != 0 })
	slices.SortStableFunc(wholes, func(a, b *sink.StoredPiece) int { return cmp.Compare(best(b), best(a)) })
	for _, whole := range wholes {
		c := &chosenShard{whole: whole}
		if c.wholeCopy, c.next = usable(whole); c.wholeCopy == nil {
			continue
		}
		for _, changes := range pieces {
			if changes.Base != whole.ID {
				continue
			}
			if data, next := usable(changes); data != nil {
				c.changes, c.changesCopy, c.next = changes, data, next
				break
			}
		}
		return c
	}
	return nil
}
