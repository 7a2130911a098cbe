package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/sink"
)

// Store is the role that puts events, verdicts and manual changes into ClickHouse, in a
// group of its own. It takes the events that detect accepts, late ones included, and leaves out the
// others: detect dead-letters those.
type Store struct {
	cfg        Config
	clickhouse sink.ClickHouseConfig
	deps       Deps
	rules      rulesInForce
	log        *zap.Logger

	connected atomic.Bool // to ClickHouse
	assigned  atomic.Bool
}

// NewStore checks its configuration; it starts nothing.
func NewStore(cfg Config, clickhouse sink.ClickHouseConfig, deps Deps) (*Store, error) {
	if err := errors.Join(cfg.Validate(), clickhouse.Validate()); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, clickhouse: clickhouse, deps: deps, log: deps.Log.Named("store")}
	s.rules.Store(deps.Program)
	return s, nil
}

// Group is the consumer group of store.
func (s *Store) Group() string { return storeGroup(s.cfg) }

func storeGroup(c Config) string { return c.Kafka.Group + "-store" }

// waitingAloud is for how long ClickHouse may refuse before store is not ready.
const waitingAloud = 5 * time.Second

// Ready reports whether records are being stored; if not, why. Safe for concurrent use.
func (s *Store) Ready() (bool, string) {
	waits, why := s.deps.Sink.Waiting.Longest()
	switch {
	case !s.connected.Load() && why != "":
		return false, "store: waiting for ClickHouse: " + why
	case !s.connected.Load():
		return false, "store: waiting for ClickHouse"
	case waits >= waitingAloud:
		return false, fmt.Sprintf("store: waiting for ClickHouse since %s, events wait in Kafka: %s", waits.Round(time.Second), why)
	case !s.assigned.Load():
		return false, "store: waiting for the group to assign partitions"
	}
	return true, ""
}

// Run stores records until ctx is done; then it stores what it has taken, commits,
// leaves the group and returns nil. It waits for as long as Kafka or ClickHouse is
// away. An error means that waiting would not help. What a stop cannot store in time is
// not committed: whoever takes over stores it, and it is one row all the same.
func (s *Store) Run(ctx context.Context) error {
	ch, err := sink.OpenClickHouse(ctx, s.clickhouse, s.log, s.deps.Sink)
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer ch.Close()
	s.connected.Store(true)
	out, err := sink.Connect(ctx, s.cfg.Kafka, s.log, append(sink.ProducerOpts(), s.deps.Kafka...)...)
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer out.Close()
	t := s.cfg.Topics
	if err := sink.EnsureTopics(ctx, out, s.cfg.Kafka, t, s.log, append(s.cfg.input(), t.Verdicts, t.Control, t.DLQ)...); err != nil {
		return unlessDone(ctx, err)
	}
	lasting, cancel := outlasting(ctx, time.Duration(s.cfg.ShutdownTimeout)*4/5)
	defer cancel()
	return stopped(ctx, s.log, anew(ctx, s.log, func() error {
		defer s.assigned.Store(false)
		return newStoring(s, lasting, ch, sink.NewProducer(out, s.deps.Sink, s.log)).run(ctx)
	}))
}
