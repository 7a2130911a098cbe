package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/sink"
)

// Deps is what detect and store are given by whoever wires them.
type Deps struct {
	Program *detector.Program
	Log     *zap.Logger
	Metrics *Metrics
	Sink    *sink.Metrics
	Kafka   []kgo.Opt // further options of every Kafka client, such as a dialer
}

// Detect is the role that judges events: it reads the topic logs, or with input.rekey
// the topic events, in the group Kafka.Group and writes verdicts, bans and dead letters.
type Detect struct {
	cfg  Config
	deps Deps
	log  *zap.Logger

	assigned  atomic.Bool
	restoring atomic.Int64 // partitions that are not live yet
	remaining atomic.Int64 // records that they have to read again, as far as that is known
	bans      atomic.Pointer[sink.Bans]
	people    atomic.Pointer[sink.Controls]
	said      saidByHand
	strayed   atomic.Bool // a record with another key has been warned about
	rules     rulesInForce
	resharded atomic.Bool  // another state.shards has been warned about
	readers   atomic.Int32 // partitions of the topic endpoint_stats; 0: it was not looked for yet, -1: it is missing
}

// NewDetect checks cfg and the rules; it starts nothing.
func NewDetect(cfg Config, deps Deps) (*Detect, error) {
	if err := errors.Join(cfg.Validate(), cfg.validateRules(deps.Program)); err != nil {
		return nil, err
	}
	d := &Detect{cfg: cfg, deps: deps, log: deps.Log.Named("detect")}
	d.rules.Store(deps.Program)
	return d, nil
}

// Ready reports whether events are being judged; if not, why. Safe for concurrent use.
func (d *Detect) Ready() (bool, string) {
	bans := d.bans.Load()
	switch {
	case bans == nil:
		return false, "detect: waiting for Kafka"
	case !bans.Ready():
		return false, "detect: reading topics " + d.cfg.Topics.Bans + " and " + d.cfg.Topics.Control
	case !d.assigned.Load():
		return false, "detect: waiting for the group to assign partitions"
	case d.restoring.Load() > 0:
		return false, fmt.Sprintf("detect: restoring counts of %d partitions, %d records to be read again", d.restoring.Load(), d.remaining.Load())
	}
	return true, ""
}

// Run judges events until ctx is done; then it finishes what it has taken, commits,
// leaves the group and returns nil. It waits for as long as Kafka is away. An error
// means that waiting would not help. What a stop cannot finish in time is not
// committed: whoever takes over judges it again.
func (d *Detect) Run(ctx context.Context) error {
	opts := append(append(sink.ProducerOpts(), sink.SummaryOpts(d.cfg.Topics.EndpointStats, d.partitioned)), sink.FollowOpts(d.cfg.Topics.Bans)...)
	out, err := sink.Connect(ctx, d.cfg.Kafka, d.log, append(opts, d.deps.Kafka...)...)
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer out.Close()
	state, err := sink.Connect(ctx, d.cfg.Kafka, d.log, append(sink.StateOpts(), d.deps.Kafka...)...)
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer state.Close()
	t := d.cfg.Topics
	need := append(d.cfg.input(), t.Verdicts, t.Bans, t.Control, t.DLQ, t.State)
	if learns(d.rules.Load()) {
		need = append(need, t.EndpointStats)
	}
	if err := sink.EnsureTopics(ctx, out, d.cfg.Kafka, t, d.log, need...); err != nil {
		return unlessDone(ctx, err)
	}
	producer := sink.NewProducer(out, d.deps.Sink, d.log)
	bans := sink.NewBans(sink.BansConfig{Client: out, Topic: t.Bans, Producer: producer, Metrics: d.deps.Sink, Log: d.log})
	d.bans.Store(bans)
	people, err := sink.Connect(ctx, d.cfg.Kafka, d.log, append(sink.FollowOpts(t.Control), d.deps.Kafka...)...)
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer people.Close()
	controls := sink.NewControls(sink.ControlsConfig{
		Client: people, Topic: t.Control, Metrics: d.deps.Sink, Log: d.log,
		Changed: func(ctx context.Context, records []sink.ControlRecord) error {
			err := bans.Control(ctx, records)
			d.said.more() // State has them
			return err
		},
	})

	d.people.Store(controls)

	// The ban table outlives the loop, which needs it to finish what it has taken.
	grace := time.Duration(d.cfg.ShutdownTimeout) * 4 / 5
	lasting, cancel := outlasting(ctx, grace)
	defer cancel()
	table, stopTable := context.WithCancel(lasting)
	defer stopTable()
	group, running := errgroup.WithContext(table)
	group.Go(func() error { return bans.Run(table) })
	group.Go(func() error { return controls.Run(table) })
	group.Go(func() error {
		defer stopTable()
		stop, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(running, cancel)() // the table failed: the loop ends too
		return anew(stop, d.log, func() error {
			defer d.assigned.Store(false)
			return newSession(d, running, producer, bans, state).run(stop)
		})
	})
	return stopped(ctx, d.log, group.Wait())
}

// partitioned takes how many partitions the topic endpoint_stats has, which may get more
// while we run: those would wait for marks for ever.
func (d *Detect) partitioned(n int) { d.readers.Store(int32(n)) }

// stopped says what a stop could not finish in time. That is no failure: nothing of
// it is committed, so it is done again.
func stopped(ctx context.Context, log *zap.Logger, err error) error {
	if err == nil || ctx.Err() == nil || sink.IsPermanent(err) {
		return err
	}
	log.Warn("stopped before everything in hand was finished: it is not committed, so it is read again", zap.Error(err))
	return nil
}

// anew runs memberships of a group, one after the other, until one ends for good.
func anew(ctx context.Context, log *zap.Logger, membership func() error) error {
	for {
		err := membership()
		if !errors.Is(err, errAnew) || sink.IsPermanent(err) {
			return err
		}
		log.Warn("leaving the group and joining it anew", zap.Error(err))
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

// outlasting gives a context that ends d after ctx does.
func outlasting(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(d):
			cancel(fmt.Errorf("stopping took longer than %s", d))
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel(nil) }
}

func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
