package consumer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/sink"
)

// What Stats has learned of a partition of the topic endpoint_stats is kept on the topic
// state, on the partition with the same number, in as many shards as Baselines says. There
// is no journal: the log of summaries is deleted after a day, what was learned of it is
// not, and which rules judge is for the present alone to say. Nor need the snapshots be
// of one offset: each shard passes over what it contains, so reading again from the smallest
// offset among them harms none.

const (
	// learnedPatience is how long a snapshot may take to be written, and learnedPause
	// how long the next one waits after one that was not: verdicts wait meanwhile.
	learnedPatience = 5 * time.Second
	learnedPause    = 30 * time.Second
)

// onOffsets restores the partitions that are added to the assignment and says from where
// on they are read.
func (s *learning) onOffsets(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	restored, err := arriving(ctx, &s.member, &s.arrivals, func() (map[topicPartition]*learner, error) { return s.restoreAll(ctx, offsets) })
	if err != nil {
		return nil, err
	}
	for tp, l := range restored {
		offsets[tp.topic][tp.partition] = kgo.NewOffset().At(l.next)
	}
	return offsets, nil
}

func (s *learning) restoreAll(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[topicPartition]*learner, error) {
	out := make(map[topicPartition]*learner)
	adm := kadm.NewClient(s.client)
	for topic, partitions := range offsets {
		about, err := adm.ListTopics(ctx, topic)
		if err == nil {
			err = about[topic].Err
		}
		if err != nil {
			return nil, refusalOr("looking at topic "+topic, err)
		}
		starts, err := listed(adm.ListStartOffsets(ctx, topic))
		if err != nil {
			return nil, err
		}
		ends, err := listed(adm.ListEndOffsets(ctx, topic))
		if err != nil {
			return nil, err
		}
		total := len(about[topic].Partitions)
		stored, err := s.readState(ctx, s.client, topic, total, slices.Sorted(maps.Keys(partitions)))
		if err != nil {
			return nil, err
		}
		for n, offset := range partitions {
			start, _ := starts.Lookup(topic, n)
			end, _ := ends.Lookup(topic, n)
			g := gained{tp: topicPartition{topic, n}, start: start.Offset, end: end.Offset, topicID: about[topic].ID}
			if offset != s.unset {
				g.committed = offset.EpochOffset().Offset
			}
			out[g.tp] = s.restore(&g, stored[n], max(1, int64(s.cfg.State.MaxBaselineBytes)/int64(max(1, total))))
		}
	}
	return out, nil
}

// restore brings back what is stored of a partition, as far as it can be used: the rest is
// learned again, of what the topic still has.
func (s *learning) restore(g *gained, stored *sink.StoredState, most int64) *learner {
	log := s.log.With(zap.String("topic", g.tp.topic), zap.Int32("partition", g.tp.partition))
	program := s.stats.rules.Load()
	l := &learner{
		tp: g.tp, program: program, baselines: detector.NewBaselines(program, detector.BaselinesOptions{MaxBytes: most}),
		grace: newGrace(time.Duration(s.cfg.State.StatsGrace)), topicID: g.topicID,
		end: g.end, committed: min(g.committed, g.end),
	}
	for _, err := range stored.Unreadable {
		log.Warn("a record of the state topic cannot be used", zap.Error(err))
	}
	used, unusable := restoreLearned(l.baselines, stored, log)
	s.deps.Metrics.SnapshotsUnusable.Add(float64(unusable))
	shards := l.baselines.Shards()
	l.rotation = newRotation(shards, time.Duration(s.cfg.State.Interval), 0, time.Now())
	l.rotation.wholes = true
	l.next = g.end
	for _, piece := range used {
		next := piece.Next
		if otherLog(piece, g) || next > g.end { // what was learned is true all the same
			next = g.start
		}
		l.next = max(g.start, min(l.next, next))
		if piece.Shard < shards {
			l.rotation.found(piece.Shard, piece, nil, stored.Pieces)
		}
	}
	if len(used) < shards {
		l.next = g.start
	}
	log.Info("baselines restored, reading on from there", zap.Int("shards", len(used)), zap.Int("of", shards), zap.Int64("from", l.next), zap.Int64("committed", g.committed),
		zap.Int64("records", g.end-l.next), zap.Int("endpoints", l.baselines.Stats().Endpoints))
	return l
}

// restoreLearned gives baselines what is stored of them, and says from which pieces, one
// for each shard, and how many could not be used.
func restoreLearned(b *detector.Baselines, stored *sink.StoredState, log *zap.Logger) (used []*sink.StoredPiece, unusable int) {
	done := make(map[int]bool)
	for _, piece := range newestFirst(stored) {
		if done[piece.Shard] {
			continue
		}
		data, err := piece.Unpack(nil)
		if err == nil {
			err = b.RestoreShard(data)
		}
		if err != nil {
			log.Error("a snapshot of what was learned cannot be used", zap.Int("shard", piece.Shard), zap.Int64("offset", piece.Next), zap.Error(err))
			unusable++
			continue
		}
		done[piece.Shard] = true
		used = append(used, piece)
	}
	return used, unusable
}

// newestFirst gives the pieces that are stored of a partition's baselines.
func newestFirst(stored *sink.StoredState) []*sink.StoredPiece {
	var of []*sink.StoredPiece
	for _, piece := range stored.Pieces {
		if piece.Shard >= 0 && piece.Slot < wholeSlots {
			of = append(of, piece)
		}
	}
	slices.SortFunc(of, func(a, b *sink.StoredPiece) int { return cmp.Compare(b.Next, a.Next) })
	return of
}

// snapshot writes the shards that are due: everything that came of the records before
// l.next is acknowledged.
func (s *learning) snapshot(ctx context.Context) error {
	now := time.Now()
	if now.Sub(s.refused) < learnedPause {
		return nil
	}
	for _, l := range s.owned {
		for l.rotation.due(now) > 0 {
			if shard := l.rotation.pass(); l.rotation.dirty(shard, l.next) && !s.write(ctx, l, shard) {
				s.refused = time.Now()
				return s.permanent
			}
		}
		l.rotation.catchUp(now)
	}
	return nil
}

// flush writes what was learned since the last snapshots, while partitions are still ours.
func (s *learning) flush(going map[topicPartition]*learner) {
	ctx, cancel := context.WithTimeout(s.lasting, time.Duration(s.cfg.ShutdownTimeout)/3)
	defer cancel()
	for _, l := range going {
		for shard := range l.rotation.shards {
			if l.rotation.dirty(shard, l.next) && !s.write(ctx, l, shard) {
				return
			}
		}
	}
}

// write writes the snapshot of a shard, and reports whether it is acknowledged.
func (s *learning) write(ctx context.Context, l *learner, shard int) bool {
	ctx, cancel := context.WithTimeout(ctx, learnedPatience)
	defer cancel()
	_, piece, parts := l.rotation.plan(shard)
	piece.Next, piece.Log, piece.From = l.next, l.topicID, l.rotation.from(math.MaxInt64)
	piece.Data = l.baselines.AppendShard(nil, shard)
	encoded := len(piece.Data)
	written, err := s.state.Write(ctx, l.tp.partition, piece, parts)
	m := s.deps.Metrics
	if err != nil {
		m.SnapshotFailures.Inc()
		if s.failed.Due() {
			s.log.Warn("what was learned was not written: a restart learns more of it again", zap.Error(err))
		}
		if sink.IsPermanent(err) {
			s.permanent = fmt.Errorf("keeping what was learned: %w", err)
		}
		return false
	}
	piece.Data = nil
	l.rotation.landed(&piece, written, encoded, time.Now())
	m.Snapshots.WithLabelValues("baselines").Inc()
	m.StateBytesWritten.Add(float64(written.Bytes))
	return true
}
