package consumer

import (
	"context"
	"sync"
	"time"
)

// alarm ends a poll before records come: the loop has something else to do. The zero
// value is ready; ring is safe for concurrent use.
type alarm struct {
	mu     sync.Mutex
	rung   bool
	cancel context.CancelFunc
}

// arm gives the context of a poll of d at most. One that was rung for since the last
// poll ends at once.
func (a *alarm) arm(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cancel = cancel
	if a.rung {
		a.rung = false
		cancel()
	}
	return ctx, cancel
}

// ring ends the poll at hand, or the next one.
func (a *alarm) ring() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rung = true
	if a.cancel != nil {
		a.cancel()
	}
}
