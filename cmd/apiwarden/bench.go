package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	brokers    []string
	clickhouse string
	only       []string
	quick      bool
	events     int
	rounds     int
	peers      string
	json       string
	markdown   string
	svg        string
	profile    string
}

func newBenchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed, memory and latency, beside the limit of this machine",
		Long: `Measures detection and storage end to end on a Kafka cluster: yours with --brokers, else
an Apache Kafka that is started for it, which needs the repository, Java and Maven. It
makes topics of its own and deletes them when it ends. Absolute figures depend on the
machine and on what else it does; ratios are taken within the run, from measurements
that follow each other closely.

Sections, of which --only picks some:

` + benchSectionList() + `
The table on standard output has a target where there is one, and says whether it was
met. Progress goes to standard error.`,
		Example: `  apiwarden bench                                   # everything, about a quarter of an hour
  apiwarden bench --quick                           # small, under a minute: does it work?
  apiwarden bench --only raw,detect --events 4000000
  apiwarden bench --brokers kafka:9092 --only latency --svg pictures
  apiwarden bench --peers ../shared/tools/peers/run.sh --json bench.json --markdown bench.md`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runBench(cmd, o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.brokers, "brokers", nil, "Kafka brokers to measure on instead of one that is started")
	f.StringVar(&o.clickhouse, "clickhouse", "", "ClickHouse server (host:port, or a URL) to store into instead of an engine that is started")
	f.StringSliceVar(&o.only, "only", nil, "sections to run, separated by commas (default: all)")
	f.BoolVar(&o.quick, "quick", false, "a small run of under a minute, without peers, whose figures are rough")
	f.IntVar(&o.events, "events", 0, "events of a throughput measurement (default 2,000,000; 60,000 with --quick)")
	f.IntVar(&o.rounds, "rounds", 0, "how often each throughput is measured; medians are reported (default 3; 1 with --quick)")
	f.StringVar(&o.peers, "peers", "", "run.sh that runs Flink and Kafka Streams on the same topic (default: "+defaultPeers+" where that is)")
	f.StringVar(&o.json, "json", "", "write the report to this `file` as JSON")
	f.StringVar(&o.markdown, "markdown", "", "write the report to this `file` as a page of documentation")
	f.StringVar(&o.svg, "svg", "", "write pictures of the curves to this `folder`")
	f.StringVar(&o.profile, "profile", "", "keep CPU profiles of the measured processes in this `folder`")
	cmd.AddCommand(newBenchConsumeCommand(), newBenchVisitCommand())
	return cmd
}

// runBench measures what o asks for and prints and writes the report.
func runBench(cmd *cobra.Command, o benchOptions) error {
	sections, err := pickSections(o.only)
	if err != nil {
		return err
	}
	size := fullSize()
	if o.quick {
		size = quickSize()
		if len(o.only) == 0 { // the peers take minutes, whatever they are given
			sections = slices.DeleteFunc(sections, func(s benchSection) bool { return s.name == "peers" })
		}
	}
	if o.events != 0 {
		size.events = o.events
	}
	if o.rounds != 0 {
		size.rounds = o.rounds
	}
	if size.events < 1000 || size.rounds < 1 {
		return argumentError(cmd, "--events must be at least 1000 and --rounds at least 1")
	}
	b, err := newBench(o, size, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer b.close()
	failed := b.run(cmd.Context(), sections)
	if len(b.report.Measures) > 0 {
		fmt.Fprint(cmd.OutOrStdout(), b.report.table())
	}
	return errors.Join(failed, b.report.write(o))
}

// bench is one run of the benchmark: what it measures with, and what it has found.
type bench struct {
	o      benchOptions
	size   benchSize
	self   string // path of this program, for child processes
	dir    string // of this run: configurations, rules, logs; goes with it
	errOut io.Writer
	began  time.Time
	broker *benchBroker
	report benchReport

	logs   string   // the topic of the throughput measurements, once it is filled
	topics []string // what else is to be deleted
	sets   int      // sets of topics that have been named
}

// newBench starts nothing.
func newBench(o benchOptions, size benchSize, errOut io.Writer) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program, to start it as child processes: %w", err)
	}
	dir, err := os.MkdirTemp("", "apiwarden-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the benchmark: %w", err)
	}
	b := &bench{o: o, size: size, self: self, dir: dir, errOut: errOut, began: time.Now()}
	b.report.describe(o.quick)
	if b.report.Load >= 0.5 {
		b.say("the machine is not idle (load %.1f): what is measured is what it has left", b.report.Load)
	}
	return b, nil
}

// run runs the sections in their order. A section that fails is told and does not
// keep others from running; an interrupt does.
func (b *bench) run(ctx context.Context, sections []benchSection) error {
	var failed []string
	for _, s := range sections {
		b.say("== %s: %s", s.name, s.short)
		if err := b.prepared(ctx, s); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("measuring %s: interrupted", s.name)
			}
			b.say("measuring %s: %v", s.name, err)
			failed = append(failed, s.name)
		}
		b.dropTopics()
	}
	if len(failed) > 0 {
		return fmt.Errorf("not measured: %s (the reasons stand above)", strings.Join(failed, ", "))
	}
	return nil
}

// prepared runs one section, after starting the broker where it needs the first one.
func (b *bench) prepared(ctx context.Context, s benchSection) error {
	if s.kafka && b.broker == nil {
		broker, err := b.openBroker(ctx)
		if err != nil {
			return err
		}
		b.broker = broker
		b.report.Kafka = broker.name
	}
	if err := s.run(b, ctx); err != nil {
		return err
	}
	return b.report.refuseNothing()
}

// close ends what was started and removes what was made.
func (b *bench) close() {
	if b.broker != nil {
		b.dropTopics()
		b.dropLogs()
		b.broker.close()
	}
	os.RemoveAll(b.dir)
}

// say writes a line of progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.errOut, "%7.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
