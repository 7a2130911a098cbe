package consumer

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
)

// onAssigned makes the engines of partitions that are new to us.
func (s *session) onAssigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	var numbers []int32
	for topic, partitions := range added {
		for _, n := range partitions {
			tp := topicPartition{topic, n}
			if s.owned[tp] != nil {
				continue
			}
			s.owned[tp] = &partition{
				tp:     tp,
				engine: detector.NewEngine(s.deps.Program, detector.Options{Topic: topic, Partition: n, Shards: s.cfg.State.Shards}),
				lag:    s.deps.Metrics.Lag.add(tp),
			}
			numbers = append(numbers, n)
		}
	}
	if len(numbers) > 0 {
		slices.Sort(numbers)
		s.log.Info("partitions assigned, their counts start empty", zap.String("topic", s.cfg.judged()), zap.Int32s("partitions", numbers))
		s.deps.Metrics.Restore.Set(0)
	}
	s.detect.assigned.Store(true)
}

// onRevoked commits what is finished, while the partitions are still ours, and drops
// their engines. It also comes with nothing, at the end of each generation.
func (s *session) onRevoked(_ context.Context, cl *kgo.Client, gone map[string][]int32) {
	s.commitRevoked(cl)
	s.dropAll(gone, "partitions revoked")
}

// onLost drops engines without a commit: somebody else may have gone on already.
func (s *session) onLost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.dropAll(gone, "partitions lost: another member may own them, nothing of them is committed")
	s.detect.assigned.Store(false)
}

func (s *session) dropAll(gone map[string][]int32, why string) {
	lost := make(map[topicPartition]*partition)
	for topic, partitions := range gone {
		for _, n := range partitions {
			if p := s.owned[topicPartition{topic, n}]; p != nil {
				lost[p.tp] = p
			}
		}
	}
	if len(lost) == 0 {
		return
	}
	s.log.Info(why, zap.Int("partitions", len(lost)))
	s.drop(lost)
}

// drop forgets partitions; what they have enforced stands until it ends.
func (s *session) drop(gone map[topicPartition]*partition) {
	for tp, p := range maps.Clone(gone) {
		s.bans.Forget(tp.partition)
		s.deps.Metrics.engine(p, detector.Stats{})
		s.deps.Metrics.Lag.remove(tp)
		delete(s.owned, tp)
	}
}
