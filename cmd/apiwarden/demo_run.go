package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/apiwarden/apiwarden/cmd/apiwarden/traffic"
	shipped "github.com/apiwarden/apiwarden/deploy/rules"
	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/sink"
)

// demo is one run of the demo and what it is made of.
type demo struct {
	o      demoOptions
	plan   traffic.Options
	log    *zap.Logger
	out    io.Writer
	logged *tail

	cfg      Config
	process  *process
	listener net.Listener // of health and metrics
	board    *board
	feeder   *feeder
	course   *course
	clients  []*kgo.Client
	broker   *broker // nil: not ours
	engine   *engine // nil: not ours
}

// patience is how long the demo waits for detection and storage to catch up before
// it calls that a failure.
const patience = 2 * time.Minute

// open starts Kafka and ClickHouse, or finds those that were named, and wires detect
// and store to them, without starting them.
func (d *demo) open(ctx context.Context) error {
	rules, err := shippedRules()
	if err != nil {
		return err
	}
	cfg := DefaultConfig()
	cfg.Rules = "deploy/rules"
	cfg.Kafka.Partitions = 6
	cfg.HTTP.Listen = d.o.http
	if err := cfg.HTTP.Validate(); err != nil {
		return refuse("demo: --http: %v", err)
	}
	if d.listener, err = d.o.listenHTTP(); err != nil {
		return err
	}
	cfg.HTTP.Listen = d.listener.Addr().String()
	var parts errgroup.Group // the engine takes seconds to start
	parts.Go(func() error { return d.openClickHouse(ctx, &cfg.ClickHouse) })
	parts.Go(func() error { return d.openKafka(ctx, &cfg) })
	if err := parts.Wait(); err != nil {
		return err
	}
	if d.process, err = newProcess(cfg, role{use: "demo", detects: true, stores: true}, rules, d.log); err != nil {
		return err
	}
	d.cfg = cfg
	return nil
}

// shippedRules compiles the rules that are built in.
func shippedRules() (*detector.Program, error) {
	dir, err := os.MkdirTemp("", "apiwarden-rules-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the rules: %w", err)
	}
	defer os.RemoveAll(dir)
	folder := filepath.Join(dir, "rules")
	if err := os.CopyFS(folder, shipped.FS); err != nil {
		return nil, fmt.Errorf("writing the rules to %s: %w", folder, err)
	}
	return detector.Load(folder)
}

func (d *demo) openClickHouse(ctx context.Context, cfg *sink.ClickHouseConfig) error {
	var e *engine
	if d.o.clickhouse != "" {
		e = namedEngine(ctx, d.o.clickhouse)
	} else {
		var err error
		if e, err = startEngine(ctx); err != nil {
			return err
		}
		d.engine = e
	}
	cfg.Addresses, cfg.Protocol = []string{e.addr}, sink.ProtocolNative
	if e.http {
		cfg.Protocol = sink.ProtocolHTTP
	}
	if d.o.clickhouse == "" {
		return nil
	}
	used, err := holdsEvents(ctx, *cfg)
	if used {
		cfg.Database += "_demo_" + d.suffix("_")
	}
	return err
}

// suffix tells this demo's things on servers of others from those of other runs.
func (d *demo) suffix(between string) string {
	return d.plan.End.UTC().Format("20060102" + between + "150405")
}

func (d *demo) openKafka(ctx context.Context, cfg *Config) error {
	cfg.Kafka.Brokers = d.o.brokers
	if len(d.o.brokers) == 0 {
		b, err := startBroker()
		if err != nil {
			return err
		}
		d.broker = b
		cfg.Kafka.Brokers = b.addrs
	}
	cl, err := sink.Connect(ctx, cfg.Kafka, d.log, feederOpts()...)
	if err != nil {
		return err
	}
	d.clients = append(d.clients, cl)
	if len(d.o.brokers) > 0 {
		// Somebody's own records must not be counted as ours, nor ours as theirs.
		cfg.Kafka.Group += "-demo-" + d.suffix("-")
		used, err := holdsRecords(ctx, cl, cfg.Topics)
		if err != nil {
			return err
		}
		if used {
			cfg.Topics = renamed(cfg.Topics, "-demo-"+d.suffix("-"))
		}
	}
	if err := sink.EnsureTopics(ctx, cl, cfg.Kafka, cfg.Topics, d.log, cfg.Topics.Logs, cfg.Topics.Verdicts, cfg.Topics.Bans, cfg.Topics.DLQ); err != nil {
		return err
	}
	d.feeder = &feeder{cl: cl, topic: cfg.Topics.Logs, traffic: traffic.New(d.o.seed, d.plan), board: d.board}
	d.course = newCourse(cl, cfg.Kafka.Group, cfg.Topics)
	seer, err := sink.Connect(ctx, cfg.Kafka, d.log, watchOpts(cfg.Topics)...)
	if err != nil {
		return err
	}
	d.clients = append(d.clients, seer)
	d.course.seer = seer
	return nil
}

// renamed gives topics with end behind each name.
func renamed(t sink.Topics, end string) sink.Topics {
	for _, name := range []*string{&t.Logs, &t.Verdicts, &t.Bans, &t.DLQ, &t.State, &t.Control, &t.EndpointStats, &t.Events} {
		*name += end
	}
	return t
}

// close ends what open started; it may be called after a failed open.
func (d *demo) close() {
	for _, cl := range d.clients {
		cl.Close()
	}
	if d.broker != nil {
		d.broker.close()
	}
	if d.engine != nil {
		d.engine.close()
	}
	if d.listener != nil {
		d.listener.Close() // where nobody came to serve on it
	}
}

// places are what a person may want to look at while the demo runs.
func (d *demo) places() []place {
	clickhouse := d.cfg.ClickHouse.Addresses[0]
	if d.cfg.ClickHouse.Protocol == sink.ProtocolHTTP {
		clickhouse = "http://" + clickhouse
	}
	return []place{
		{"kafka", strings.Join(d.cfg.Kafka.Brokers, ",")},
		{"clickhouse", clickhouse},
		{"metrics", "http://" + d.cfg.HTTP.Listen + "/metrics"},
	}
}

func (d *demo) printWhere() {
	for _, p := range d.places() {
		fmt.Fprintf(d.out, "  %-11s %s\n", p.name, p.addr)
	}
	t, db := d.cfg.Topics, d.cfg.ClickHouse.Database
	fmt.Fprintf(d.out, "  %-11s %s (events), %s, %s, %s\n", "topics", t.Logs, t.Verdicts, t.Bans, t.DLQ)
	query := fmt.Sprintf("SELECT subject, bans, rule_ids FROM %s.top_offenders LIMIT 5", db)
	if d.cfg.ClickHouse.Protocol == sink.ProtocolHTTP {
		fmt.Fprintf(d.out, "  %-11s curl 'http://%s/' --data-binary '%s'\n", "try", d.cfg.ClickHouse.Addresses[0], query)
	} else {
		fmt.Fprintf(d.out, "  %-11s clickhouse-client --query '%s'\n", "try", query)
	}
}

// perform plays the traffic, shows what happens, and gives the reckoning. It ends
// early, with a reckoning all the same, when ctx does or somebody presses q.
func (d *demo) perform(ctx context.Context, screen bool) (*reckoning, error) {
	// What is in hand when ctx ends is still judged and stored: the parts have a
	// context of their own, which ends last.
	running, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	acting, interrupt := context.WithCancel(ctx)
	defer interrupt()
	var parts errgroup.Group
	part := func(name string, run func(context.Context) error) {
		parts.Go(func() error {
			err := run(running)
			if err != nil && running.Err() == nil {
				err = fmt.Errorf("%s: %w", name, err)
				stop(err)
				interrupt()
				return err
			}
			return nil
		})
	}
	part("detection and storage", func(ctx context.Context) error { return d.process.runOn(ctx, d.listener) })
	part("following the topics", d.watch)
	part("measuring", d.measure)

	show, hide := context.WithCancel(running)
	defer hide()
	shown := make(chan error, 1)
	go func() {
		if screen {
			shown <- runView(show, d.out, d.look, interrupt)
			return
		}
		runPlain(show, d.out, d.look)
		shown <- nil
	}()
	result, err := d.play(running, acting)
	hide()
	viewErr := <-shown
	stop(nil)
	partsErr := parts.Wait()
	if partsErr != nil {
		err = partsErr // why a part stopped says more than that it did
	} else if errors.Is(err, errLeft) {
		err = nil
	}
	return result, errors.Join(err, viewErr)
}

// errLeft says that somebody had seen enough before there was anything to reckon.
var errLeft = errors.New("interrupted")

// play is the demo's plot. running ends when a part has failed, acting when
// somebody has seen enough.
func (d *demo) play(running, acting context.Context) (*reckoning, error) {
	t := d.feeder.traffic
	for _, a := range append(t.Attackers(), t.Innocents()...) {
		d.board.name(a.Addr, a.Name)
	}
	if err := d.course.until(acting, "starting", patience, d.ready); err != nil {
		if acting.Err() != nil {
			return nil, errLeft
		}
		return nil, err
	}
	d.course.say("history", 0)
	if err := d.feeder.history(running, acting.Done()); err != nil {
		return nil, err
	}
	// Live traffic begins when the history has been judged, else its first seconds
	// would wait behind it.
	if err := d.course.until(acting, "history", patience, d.judged); err != nil && acting.Err() == nil {
		return nil, err
	}
	start := time.Now()
	if acting.Err() == nil {
		d.board.goLive(start)
		t.GoLive(start)
		d.course.live(start, d.o.length)
		if err := d.feeder.live(running, acting.Done(), start, d.o.length, d.o.bad); err != nil {
			return nil, err
		}
	}
	if running.Err() != nil {
		return nil, context.Cause(running)
	}
	seconds := time.Since(start).Seconds()
	if d.o.length > 0 {
		seconds = min(seconds, d.o.length.Seconds())
	}
	d.course.say("finishing", 0)
	flushing, cancel := context.WithTimeout(running, patience)
	defer cancel()
	if err := d.feeder.flush(flushing); err != nil {
		return nil, err
	}
	settled := d.course.until(running, "finishing", patience, d.finished) == nil
	if running.Err() != nil {
		return nil, running.Err()
	}
	// What is learned is judged when a bucket is complete, which may be while it is reckoned.
	for {
		before, _, _ := d.board.counts()
		r, err := d.reckon(flushing, seconds, settled, acting.Err() != nil)
		if err == nil && r.VerdictsStored == r.Verdicts {
			return r, nil
		}
		settled = d.course.until(flushing, "finishing", patience, d.finished) == nil
		if now, _, _ := d.board.counts(); now == before || flushing.Err() != nil {
			return r, err
		}
	}
}
