package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/apiwarden/apiwarden/api"
	"github.com/apiwarden/apiwarden/consumer"
	"github.com/apiwarden/apiwarden/detector"
)

// process is one process of apiwarden, wired and not started.
type process struct {
	cfg      Config
	role     role
	program  *detector.Program
	log      *zap.Logger
	registry *prometheus.Registry
	http     *api.Server
	detect   *consumer.Detect // nil: not this process
	stats    *consumer.Stats  // beside detect; nil: not this process
	rekey    *consumer.Rekey  // in front of detect; nil: not this process
	store    *consumer.Store  // nil: not this process
	metrics  *reloadMetrics
	reload   *reloader // nil: rules stay as they are
}

// newProcess wires the parts of r. It starts nothing.
func newProcess(cfg Config, r role, program *detector.Program, log *zap.Logger) (*process, error) {
	p := &process{cfg: cfg, role: r, program: program, log: log}
	registry := prometheus.NewRegistry()
	p.registry = registry
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := registerMetrics(registry)
	deps := consumer.Deps{Program: program, Log: log, Metrics: metrics.consumer, Sink: metrics.sink}
	var err error
	if r.detects {
		if p.detect, err = consumer.NewDetect(cfg.consumer(), deps); err != nil {
			return nil, refuseAll(err)
		}
		if p.stats, err = consumer.NewStats(cfg.consumer(), deps); err != nil {
			return nil, refuseAll(err)
		}
	}
	if r.detects && cfg.Input.Rekey {
		if p.rekey, err = consumer.NewRekey(cfg.consumer(), deps); err != nil {
			return nil, refuseAll(err)
		}
	}
	if r.stores {
		if p.store, err = consumer.NewStore(cfg.consumer(), cfg.ClickHouse, deps); err != nil {
			return nil, refuseAll(err)
		}
	}
	p.metrics = metrics.reload
	if p.http, err = api.New(cfg.HTTP, registry, p.ready, log); err != nil {
		return nil, refuseAll(err)
	}
	return p, nil
}

// ready says whether every part does its work; if not, why.
func (p *process) ready() (bool, string) {
	if p.detect != nil {
		if ok, why := p.detect.Ready(); !ok {
			return false, why
		}
	}
	if p.rekey != nil {
		if ok, why := p.rekey.Ready(); !ok {
			return false, why
		}
	}
	if p.store != nil {
		if ok, why := p.store.Ready(); !ok {
			return false, why
		}
	}
	if p.reload != nil {
		return true, p.reload.refusedWhy()
	}
	return true, ""
}

// watchRules has the rules adopted that change on disk while the process runs.
func (p *process) watchRules() {
	p.reload = &reloader{path: p.cfg.Rules, adopt: p.adopt, log: p.log.Named("rules"), metrics: p.metrics, hash: p.program.Hash()}
}

// adopt has every part work by other rules from now on, or none where one refuses them.
func (p *process) adopt(program *detector.Program) error {
	if p.detect != nil {
		if err := p.detect.Adopt(program); err != nil {
			return err
		}
		p.stats.Adopt(program)
	}
	if p.rekey != nil {
		p.rekey.Adopt(program)
	}
	if p.store != nil {
		p.store.Adopt(program)
	}
	return nil
}

// run listens where the configuration says and does runOn.
func (p *process) run(ctx context.Context) error {
	listener, err := net.Listen("tcp", p.cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("listening for health and metrics: %w (http.listen, or --http, names the address)", err)
	}
	return p.runOn(ctx, listener)
}

// runOn runs every part until ctx is done, and gives nil where they have stopped
// cleanly. Where one fails the others stop too. Health and metrics are served on
// listener, which it closes, until the last part has stopped.
func (p *process) runOn(ctx context.Context, listener net.Listener) error {
	p.announce(listener.Addr())
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	var server errgroup.Group
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	server.Go(func() error {
		defer cancel()
		return p.http.Serve(serving, listener)
	})

	server.Go(func() error {
		keepHeadroom(serving)
		return nil
	})
	if p.reload != nil {
		server.Go(func() error { return p.reload.run(serving) })
	}

	if p.detect != nil {
		state := p.cfg.State.MaxBytes
		if len(p.program.Views()) > 0 {
			state += p.cfg.State.MaxBaselineBytes
		}
		limitMemory(int64(state))
	}
	parts, partsCtx := errgroup.WithContext(working)
	if p.detect != nil {
		parts.Go(func() error { return p.detect.Run(partsCtx) })
		parts.Go(func() error { return p.stats.Run(partsCtx) })
	}
	if p.rekey != nil {
		parts.Go(func() error { return p.rekey.Run(partsCtx) })
	}
	if p.store != nil {
		parts.Go(func() error { return p.store.Run(partsCtx) })
	}
	err := parts.Wait()
	stopServing()
	if serveErr := server.Wait(); err == nil {
		err = serveErr
	}
	if err == nil {
		p.log.Info("stopped cleanly")
	}
	return err
}

// announce says at start what this process is and works with.
func (p *process) announce(listen net.Addr) {
	b := readBuild()
	groups := []string{}
	if p.detect != nil {
		groups = append(groups, p.cfg.Kafka.Group, p.stats.Group())
	}
	if p.rekey != nil {
		groups = append(groups, p.rekey.Group())
	}
	if p.store != nil {
		groups = append(groups, p.store.Group())
	}
	p.log.Info("starting",
		zap.String("role", p.role.use),
		zap.String("version", b.version), zap.String("commit", b.commit), zap.String("go", b.goVersion),
		zap.String("rules", p.cfg.Rules), zap.String("rules_hash", p.program.Hash()), zap.Int("rules_count", len(p.program.Rules())),
		zap.Strings("brokers", p.cfg.Kafka.Brokers), zap.Strings("groups", groups),
		zap.String("logs", p.cfg.Topics.Logs), zap.String("verdicts", p.cfg.Topics.Verdicts),
		zap.String("bans", p.cfg.Topics.Bans), zap.String("dlq", p.cfg.Topics.DLQ),
		zap.String("http", "http://"+listen.String()),
	)
	if p.store != nil {
		p.log.Info("storing in clickhouse", zap.String("addresses", strings.Join(p.cfg.ClickHouse.Addresses, ",")),
			zap.String("protocol", p.cfg.ClickHouse.Protocol), zap.String("database", p.cfg.ClickHouse.Database))
	}
	for _, w := range p.program.Warnings() {
		p.log.Warn("rules", zap.String("warning", w.String()))
	}
}
