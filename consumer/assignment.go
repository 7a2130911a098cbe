package consumer

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
)

// onAssigned notes the partitions that are new to us; onOffsets restores them.
func (s *session) onAssigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	var numbers []int32
	for topic, partitions := range added {
		for _, n := range partitions {
			s.arrivals.awaited[topicPartition{topic, n}] = true
			numbers = append(numbers, n)
		}
	}
	if len(numbers) > 0 {
		slices.Sort(numbers)
		s.log.Info("partitions assigned", zap.String("topic", s.cfg.judged()), zap.Int32s("partitions", numbers))
	}
	s.detect.restoring.Add(int64(len(numbers)))
	s.detect.assigned.Store(true)
}

// arrive takes the partitions that have been restored.
func (s *session) arrive() error {
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	for tp, p := range s.arrivals.ready {
		if have := s.owned[tp]; have != nil { // the client had not begun to read it
			s.drop(map[topicPartition]*partition{tp: have})
		}
		p.lag = s.deps.Metrics.Lag.add(tp)
		p.lag.next.Store(p.next)
		p.lag.high.Store(p.end)
		s.owned[tp] = p
		delete(s.arrivals.awaited, tp)
	}
	clear(s.arrivals.ready)
	return s.arrivals.failed
}

// progress says how far restoring is.
func (s *session) progress() {
	s.arrivals.mu.Lock()
	partitions, records := int64(len(s.arrivals.awaited)+len(s.arrivals.ready)), int64(0)
	s.arrivals.mu.Unlock()
	for _, p := range s.owned {
		if p.replay != nil {
			partitions++
			records += max(0, p.replay.end-p.next)
		}
	}
	s.detect.restoring.Store(partitions)
	s.detect.remaining.Store(records)
	s.deps.Metrics.RestoreRemaining.Set(float64(records))
	if partitions > 0 && s.restoring.Due() {
		s.log.Info("restoring counts", zap.Int64("partitions", partitions), zap.Int64("records_left", records))
	}
}

// onRevoked commits what is finished, while the partitions are still ours, writes
// what their snapshots do not contain yet, and drops their engines. It also comes with
// nothing, at the end of each generation.
func (s *session) onRevoked(_ context.Context, cl *kgo.Client, gone map[string][]int32) {
	s.commitRevoked(cl)
	if !s.flushed {
		s.flush(among(s.owned, gone))
	}
	s.dropAll(gone, "partitions revoked")
}

// onLost drops engines without a commit: somebody else may have gone on already.
func (s *session) onLost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.dropAll(gone, "partitions lost: another member may own them, nothing of them is committed")
	s.detect.assigned.Store(false)
}

func (s *session) dropAll(gone map[string][]int32, why string) {
	s.arrivals.gone(gone)
	if lost := among(s.owned, gone); len(lost) > 0 {
		s.log.Info(why, zap.Int("partitions", len(lost)))
		s.drop(lost)
	}
	s.progress()
}

// among gives those of the partitions that we have.
func among[P any](owned map[topicPartition]P, partitions map[string][]int32) map[topicPartition]P {
	ours := make(map[topicPartition]P)
	for topic, numbers := range partitions {
		for _, n := range numbers {
			if p, ok := owned[topicPartition{topic, n}]; ok {
				ours[topicPartition{topic, n}] = p
			}
		}
	}
	return ours
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
