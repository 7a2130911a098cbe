package consumer

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/sink"
)

// Stats is the second stage of learned rules: it reads the summaries that every detect of
// the group writes, in a group of its own, learns what is normal for each endpoint, and
// writes verdicts about those that are not. What it has learned is kept on the topic state.
type Stats struct {
	cfg     Config
	deps    Deps
	log     *zap.Logger
	rules   rulesInForce
	changed chan struct{} // there are other rules
}

// NewStats checks its configuration; it starts nothing.
func NewStats(cfg Config, deps Deps) (*Stats, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Stats{cfg: cfg, deps: deps, log: deps.Log.Named("stats"), changed: make(chan struct{}, 1)}
	s.rules.Store(deps.Program)
	return s, nil
}

// Group is the consumer group of the stage.
func (s *Stats) Group() string { return s.cfg.Kafka.Group + "-stats" }

// Adopt has endpoints judged by other rules from the next buckets on. What is learned
// stays, where the new rules look at the same. Safe for concurrent use.
func (s *Stats) Adopt(p *detector.Program) {
	s.rules.Store(p)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run learns and judges until ctx is done; then it finishes what it has taken, writes what
// it has learned, commits, leaves the group and returns nil. While no rule needs it, it does
// nothing. It waits for as long as Kafka is away. An error means that waiting would not
// help.
func (s *Stats) Run(ctx context.Context) error {
	for !learns(s.rules.Load()) {
		select {
		case <-s.changed:
		case <-ctx.Done():
			return nil
		}
	}
	out, err := sink.Connect(ctx, s.cfg.Kafka, s.log, append(sink.ProducerOpts(), s.deps.Kafka...)...)
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer out.Close()
	state, err := sink.Connect(ctx, s.cfg.Kafka, s.log, append(sink.StateOpts(), s.deps.Kafka...)...)
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer state.Close()
	t := s.cfg.Topics
	if err := sink.EnsureTopics(ctx, out, s.cfg.Kafka, t, s.log, t.EndpointStats, t.Verdicts, t.State); err != nil {
		return unlessDone(ctx, err)
	}
	lasting, cancel := outlasting(ctx, time.Duration(s.cfg.ShutdownTimeout)*4/5)
	defer cancel()
	producer := sink.NewProducer(out, s.deps.Sink, s.log)
	return stopped(ctx, s.log, anew(ctx, s.log, func() error {
		return newLearning(s, lasting, producer, state).run(ctx)
	}))
}
