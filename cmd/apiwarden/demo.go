package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/apiwarden/apiwarden/cmd/apiwarden/traffic"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	length     time.Duration
	rate       float64
	seed       uint64
	http       string
	httpGiven  bool
	keys       string
	summary    string
	brokers    []string
	clickhouse string
	history    time.Duration
	bad        int
}

func newDemoCommand(g *globals) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See real detection within a minute, everything embedded",
		Long: `Starts a Kafka broker inside this process and a ClickHouse engine beside it, sends
the traffic of an imaginary shop through detection and storage, and shows what
happens: first some hours of history, then live traffic with attackers of every kind
and innocents who look like them.

When it ends it compares what it sent with what came out, and ends with status 1
where an attacker was missed, an innocent banned, or a row lost.

The rules are the shipped ones, deploy/rules. With --brokers and --clickhouse it runs
on servers of yours; where they hold data of apiwarden already, it uses topics, a
consumer group and a database of its own.`,
		Example: `  apiwarden demo                          # until you press q: --for 0
  apiwarden demo --for 30s --rate 5000 --seed 7
  apiwarden demo --for 1m --summary summary.json | cat    # plain lines
  apiwarden demo --brokers kafka:9092 --clickhouse ch:9000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.httpGiven = cmd.Flags().Changed("http")
			if !cmd.Flags().Changed("log-level") {
				g.logLevel = "warn" // what the view shows is what happens
			}
			return runDemo(cmd.Context(), g, o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.length, "for", 30*time.Second, "length of the live traffic; 0: until interrupted")
	f.Float64Var(&o.rate, "rate", 2000, "live events a second")
	f.Uint64Var(&o.seed, "seed", 1, "what the traffic is made of: the same seed, the same clients and attacks")
	f.StringVar(&o.http, "http", "127.0.0.1:8080", "address of health and metrics; another port where this one is taken and not asked for")
	f.StringVar(&o.keys, "keys", "", "keys file of the HTTP API (accepted, and not used by this version)")
	f.StringVar(&o.summary, "summary", "", "file to write the reckoning to, as JSON")
	f.StringSliceVar(&o.brokers, "brokers", nil, "Kafka brokers to use instead of the embedded one")
	f.StringVar(&o.clickhouse, "clickhouse", "", "ClickHouse server (host:port) to use instead of the embedded engine")
	f.DurationVar(&o.history, "history", 6*time.Hour, "length of the history before the live traffic")
	f.IntVar(&o.bad, "bad-records", 0, "records to send that are no events, so that there are dead letters to look at")
	return cmd
}

// runDemo is the demo from its first line to its last.
func runDemo(ctx context.Context, g *globals, o demoOptions, out, errOut io.Writer) error {
	plan := traffic.DefaultOptions(time.Now())
	plan.History, plan.Rate, plan.Live = o.history, o.rate, o.length
	if err := plan.Validate(); err != nil {
		return refuse("demo: %v", err)
	}
	if o.bad < 0 {
		return refuse("demo: --bad-records %d is negative", o.bad)
	}
	screen := isTerminal(out)
	var logged tail
	log, err := g.logger(errOut)
	if screen { // standard error is the same terminal: the view shows what is logged
		if g.logFormat == "" {
			g.logFormat = "console"
		}
		log, err = g.logger(&logged)
	}
	if err != nil {
		return err
	}
	d := &demo{o: o, plan: plan, log: log, out: out, board: newBoard(), logged: &logged}
	defer d.close()
	fmt.Fprintln(out, "apiwarden demo: starting Kafka and ClickHouse")
	if err := d.open(ctx); err != nil {
		return demoStopped(ctx, err)
	}
	d.printWhere()
	result, err := d.perform(ctx, screen)
	if err != nil {
		if text := logged.String(); text != "" {
			fmt.Fprintln(errOut, text)
		}
		return demoStopped(ctx, err)
	}
	if result == nil {
		return nil
	}
	result.print(out)
	if o.summary != "" {
		if err := result.write(o.summary); err != nil {
			return err
		}
	}
	if !result.sound() {
		return silentFailure{}
	}
	return nil
}

// demoStopped is err, but nil where all that happened is that somebody pressed ^C
// before there was anything to reckon.
func demoStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// listenHTTP listens on the address of --http; where that is taken and was not asked
// for, on any port.
func (o demoOptions) listenHTTP() (net.Listener, error) {
	ln, err := net.Listen("tcp", o.http)
	if err == nil {
		return ln, nil
	}
	if o.httpGiven {
		return nil, fmt.Errorf("listening on --http %s: %w", o.http, err)
	}
	if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("listening on a port of this machine: %w", err)
	}
	return ln, nil
}
