package consumer

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/sink"
)

// pendingControls are the manual changes that the loop has not taken yet, in the order
// of the control topic. The follower of that topic adds, the loop takes.
type pendingControls struct {
	mu      sync.Mutex
	records []sink.ControlRecord
	wake    context.CancelFunc // ends the poll that waits; nil: none does
}

func (p *pendingControls) add(records []sink.ControlRecord) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records = append(p.records, records...)
	if p.wake != nil && len(records) > 0 {
		p.wake()
	}
}

// waking has wake called when there is something to take, until it is set anew.
func (p *pendingControls) waking(wake context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake = wake
	if wake != nil && len(p.records) > 0 {
		wake()
	}
}

func (p *pendingControls) take() []sink.ControlRecord {
	p.mu.Lock()
	defer p.mu.Unlock()
	records := p.records
	p.records = nil
	return records
}

// pollOrControls polls, and ends early where a person has changed something.
func (s *session) pollOrControls(ctx context.Context) kgo.Fetches {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.detect.said.waking(cancel)
	defer s.detect.said.waking(nil)
	return s.poll(ctx, detectPoll, pollWait)
}

// controls takes the manual changes that have come since the last turn, before the
// records of this one are judged. The ban table has them already (see Detect.Run); they
// do not change what is counted.
func (s *session) controls() {
	records := s.detect.said.take()
	if len(records) == 0 {
		return
	}
	last := &records[len(records)-1]
	s.log.Info("manual changes taken", zap.Int("changes", len(records)), zap.String("last", string(last.Op)),
		zap.String("subject", last.Key()), zap.String("by", last.By), zap.Stringer("at", last.At))
}
