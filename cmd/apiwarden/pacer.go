package main

import (
	"context"
	"time"
)

// pacer lets at most rate calls a second through; rate 0 lets all through.
type pacer struct {
	rate  float64
	began time.Time
	n     float64
}

// wait blocks until the next call is due, or until ctx is done.
func (p *pacer) wait(ctx context.Context) error {
	if p.rate == 0 {
		return nil
	}
	if p.began.IsZero() {
		p.began = time.Now()
	}
	due := p.began.Add(time.Duration(p.n / p.rate * float64(time.Second)))
	p.n++
	ahead := time.Until(due)
	// Shorter pauses than this are not worth a timer: they are made up for.
	if ahead < 2*time.Millisecond {
		return nil
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
