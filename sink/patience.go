package sink

import (
	"context"
	"sync"
	"time"
)

// Seldom keeps a log line that could repeat many times a second to one in five
// seconds. The zero value is ready; it is safe for concurrent use.
type Seldom struct {
	mu   sync.Mutex
	last time.Time
}

// Due reports whether the line should be said now.
func (s *Seldom) Due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !s.last.IsZero() && now.Sub(s.last) < 5*time.Second {
		return false
	}
	s.last = now
	return true
}

// wait lets d pass, or less where ctx ends; then it gives the cause.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
