package consumer

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/sink"
)

// arrivals hands partitions over, from the client's goroutine that restores them to
// the loop that goes on with them.
type arrivals[P any] struct {
	mu      sync.Mutex
	ready   map[topicPartition]P
	awaited map[topicPartition]bool // assigned, and not handed over yet
	failed  error                   // waiting does not help
}

func newArrivals[P any]() arrivals[P] {
	return arrivals[P]{ready: make(map[topicPartition]P), awaited: make(map[topicPartition]bool)}
}

// arriving restores partitions that are added to the assignment, and hands them over. The
// client calls it once it knows what the group has committed, and reads nothing of them
// before it returns; meanwhile the loop goes on with the others. ctx ends when the group
// wants them back; the client asks again, then, for those that are still ours.
func arriving[P any](ctx context.Context, m *member, a *arrivals[P], restore func() (map[topicPartition]P, error)) (map[topicPartition]P, error) {
	var seldom sink.Seldom
	for n := 0; ; n++ {
		restored, err := restore()
		if err == nil {
			return restored, a.hand(ctx, m, restored)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if sink.IsPermanent(err) {
			a.mu.Lock()
			a.failed = err
			a.mu.Unlock()
			m.wake.ring()
			return nil, err
		}
		if seldom.Due() {
			m.log.Warn("partitions cannot be restored yet, trying again", zap.Error(err))
		}
		select {
		case <-time.After(min(time.Duration(n+1)*100*time.Millisecond, 3*time.Second)):
		case <-ctx.Done():
		}
	}
}

// hand gives restored partitions to the loop.
func (a *arrivals[P]) hand(ctx context.Context, m *member, restored map[topicPartition]P) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for tp, p := range restored {
		a.ready[tp] = p
	}
	m.wake.ring()
	return nil
}

// gone forgets partitions that are not ours any more.
func (a *arrivals[P]) gone(partitions map[string][]int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for topic, numbers := range partitions {
		for _, n := range numbers {
			delete(a.awaited, topicPartition{topic, n})
			delete(a.ready, topicPartition{topic, n})
		}
	}
}
