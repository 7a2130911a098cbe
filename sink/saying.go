package sink

import (
	"context"
	"sync"
	"time"
)

// lastSaid keeps a line that could repeat many times a second to one every while.
type lastSaid struct {
	mu   sync.Mutex
	when time.Time
}

// due reports whether the last time it said yes is longer ago than every.
func (l *lastSaid) due(every time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.when.IsZero() && now.Sub(l.when) < every {
		return false
	}
	l.when = now
	return true
}

// wait lets d pass, or less where ctx ends; then it gives ctx's error.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
