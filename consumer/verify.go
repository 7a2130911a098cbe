package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// Verify derives the verdicts from the log once more, with the engine of detect and by
// what the journal says, and compares them with those that detect and store have
// written. It is in no group, and writes nothing. The log is never held in memory.
type Verify struct {
	cfg     Config
	options VerifyOptions
	deps    Deps
	log     *zap.Logger
	library *library
	rules   rulesInForce

	mu      sync.Mutex
	remarks []string

	total int64
	seen  atomic.Int64
	began time.Time
	say   sink.Seldom
}

// VerifyOptions say what is compared.
type VerifyOptions struct {
	// Of the record of a verdict's trigger: from one instant up to another, without that
	// one; zero is no bound.
	From, To time.Time

	ClickHouse *sink.ClickHouseConfig // nil: only the verdict topic is compared
}

// NewVerify checks its configuration; it starts nothing. Of deps the metrics are not
// used. The rules are used where no journal says which.
func NewVerify(cfg Config, o VerifyOptions, deps Deps) (*Verify, error) {
	errs := []error{cfg.Validate(), cfg.validateRules(deps.Program)}
	if o.ClickHouse != nil {
		errs = append(errs, o.ClickHouse.Validate())
	}
	if !o.From.IsZero() && !o.To.IsZero() && !o.From.Before(o.To) {
		errs = append(errs, fmt.Errorf("the range from %s to %s is empty", o.From.Format(time.RFC3339), o.To.Format(time.RFC3339)))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	v := &Verify{cfg: cfg, options: o, deps: deps, log: deps.Log.Named("verify")}
	v.rules.Store(deps.Program)
	v.library = newLibrary(&v.rules, cfg.Input.decoderOptions())
	return v, nil
}

// Run verifies what the group had committed when it began. It waits while Kafka cannot
// be reached, until ctx is done. An error means that nothing is known; what does not
// agree with the log is no error. It is called once.
func (v *Verify) Run(ctx context.Context) (*VerifyReport, error) {
	cl, err := sink.Connect(ctx, v.cfg.Kafka, v.log, append(spanOpts(), v.deps.Kafka...)...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	s, err := v.look(ctx, cl)
	if err != nil {
		return nil, err
	}
	if !s.journaled {
		v.remark("there is no topic %s: all verdicts are derived by the rules and bounds of the configuration, from the beginning of the log", v.cfg.Topics.State)
	}
	expects, err := newExpectations()
	if err != nil {
		return nil, err
	}
	report := &VerifyReport{Topic: v.cfg.judged(), RuleSets: make(map[string][]string), Findings: []Finding{}}
	began := time.Now()
	parts, err := v.rederive(ctx, s, expects, report)
	if err != nil {
		return nil, err
	}
	report.finish(time.Since(began))
	if err := v.compare(ctx, cl, newComparison(v, expects, s, parts, report)); err != nil {
		return nil, err
	}
	slices.Sort(v.remarks)
	report.Notes = append([]string{}, v.remarks...)
	return report, nil
}

// rederive judges the log once more, partitions side by side.
func (v *Verify) rederive(ctx context.Context, s *survey, x *expectations, report *VerifyReport) (map[int32]*rederiving, error) {
	for _, g := range s.logs {
		v.total += max(0, min(g.committed, g.end)-g.start)
	}
	v.began = time.Now()
	parts := make(map[int32]*rederiving)
	described := make(map[int32]VerifiedPartition)
	var mu sync.Mutex
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(runtime.GOMAXPROCS(0))
	for _, n := range slices.Sorted(maps.Keys(s.logs)) {
		work.Go(func() error {
			g := s.logs[n]
			r, err := v.rederivation(s, &g)
			if err != nil {
				return fmt.Errorf("judging %s/%d once more: %w", g.tp.topic, n, err)
			}
			keyed := verdictPartitioner(v.cfg.Topics.Verdicts)
			r.note = func(verdict *schemas.Verdict, flags expectedFlags) error {
				if verdict.RecordTime == nil || !v.asked(*verdict.RecordTime) {
					return nil
				}
				return x.add(verdict, keyed(verdict.Subject, len(s.verdicts)), flags)
			}
			j, journaled := r.journal, s.states[n] != nil && r.kept.first >= 0
			if !r.empty() {
				if err := r.run(ctx); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			parts[n], described[n] = r, verified(r, j, journaled)
			for _, e := range j.Entries {
				if e.Rules == "" || report.RuleSets[e.Rules] != nil {
					continue
				}
				rules := v.library.program(j, e.Rules, v.log)
				if rules.Hash() != e.Rules {
					v.remark("rules %s are not what they were, to this release: verdicts by them may differ without a fault (see the log)", e.Rules)
				}
				report.RuleSets[e.Rules] = ruleIDs(rules)
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	for _, n := range slices.Sorted(maps.Keys(described)) {
		report.Partitions = append(report.Partitions, described[n])
	}
	for i := range x.all {
		if !x.all[i].flags.has(notKnown | notReached) {
			report.Expected++
		}
	}
	return parts, nil
}

func ruleIDs(p *detector.Program) []string {
	ids := []string{}
	for _, r := range p.Rules() {
		ids = append(ids, r.ID)
	}
	return ids
}

// compare compares the verdicts with what is found of them.
func (v *Verify) compare(ctx context.Context, cl *kgo.Client, c *comparison) error {
	topic := v.cfg.Topics.Verdicts
	v.log.Info("comparing with the verdict topic", zap.String("topic", topic), zap.Int64("expected", c.report.Expected))
	if c.haze != nil {
		if err := v.readVerdicts(ctx, cl, c.survey.verdicts, c.hazy); err != nil {
			return err
		}
		c.haze.settle()
	}
	c.enter(topic)
	if err := v.readVerdicts(ctx, cl, c.survey.verdicts, c.record); err != nil {
		return err
	}
	if err := c.absent(onTopic, func(*expected) bool { return true }, c.onVerdictTopic); err != nil {
		return err
	}
	c.leave()
	switch {
	case v.options.ClickHouse == nil:
		v.remark("ClickHouse is not compared")
		return nil
	case len(c.survey.stored) == 0:
		v.remark("ClickHouse is not compared: group %s has committed nothing of topic %s", storeGroup(v.cfg), topic)
		return nil
	}
	v.log.Info("comparing with ClickHouse")
	return c.withClickHouse(ctx, *v.options.ClickHouse)
}

// readVerdicts gives take the records of the verdict topic.
func (v *Verify) readVerdicts(ctx context.Context, cl *kgo.Client, spans map[int32]span, take func(*kgo.Record) error) error {
	reader := spanReader{cl: cl, topic: v.cfg.Topics.Verdicts, log: v.log, take: func(s stretchOfLog) error {
		for _, r := range s.records {
			if r.Attrs.IsControl() {
				continue
			}
			if err := take(r); err != nil {
				return err
			}
		}
		return nil
	}}
	return reader.read(ctx, spans)
}

// asked says whether a record's time is in the range.
func (v *Verify) asked(t schemas.Micros) bool {
	o := &v.options
	return (o.From.IsZero() || int64(t) >= o.From.UnixMicro()) && (o.To.IsZero() || int64(t) < o.To.UnixMicro())
}

// remark keeps a sentence for the report's notes.
func (v *Verify) remark(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.remarks = append(v.remarks, fmt.Sprintf(format, args...))
}

// judged says now and then how far judging is.
func (v *Verify) judged(records int) {
	seen := v.seen.Add(int64(records))
	if v.say.Due() {
		v.log.Info("judging the log once more", zap.Int64("events", seen), zap.Int64("of", max(v.total, seen)),
			zap.Float64("events_per_s", float64(seen)/max(0.001, time.Since(v.began).Seconds())))
	}
}
