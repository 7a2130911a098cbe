package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// role is what a process of apiwarden does.
type role struct {
	use     string
	short   string
	long    string
	example string
	detects bool
	stores  bool
}

func roles() []role {
	return []role{
		{
			use: "run", short: "Detect and store in one process", detects: true, stores: true,
			long: `Runs detect and store in one process: what a small site needs. Start more processes
with the same configuration to share the work; each takes some of the partitions.`,
			example: "  apiwarden run --config /etc/apiwarden/apiwarden.yaml",
		},
		{
			use: "detect", short: "Judge events: verdicts, bans and dead letters to Kafka", detects: true,
			long: `Reads events from Kafka, judges them by the rules, and writes verdicts, bans and dead
letters to Kafka. Offsets are committed when all of them are acknowledged. It needs no
ClickHouse.`,
			example: `  apiwarden detect --config apiwarden.yaml
  APIWARDEN_KAFKA_BROKERS=k1:9092,k2:9092 APIWARDEN_RULES=rules.yaml apiwarden detect --http 127.0.0.1:8081`,
		},
		{
			use: "store", short: "Store events and verdicts in ClickHouse", stores: true,
			long: `Reads events and verdicts from Kafka, in a consumer group of its own, and stores them
in ClickHouse, each once. Tables are made and migrated at start. While ClickHouse is
away or refuses (read-only, a full disk, a changed table), events wait in Kafka and
/readyz says why; afterwards it catches up. Single rows that ClickHouse refuses for
ever are dead-lettered.`,
			example: `  apiwarden store --config apiwarden.yaml --http 127.0.0.1:8082
  apiwarden store --print-schema | less`,
		},
	}
}

func newRoleCommand(g *globals, r role) *cobra.Command {
	var file, listen, profile string
	var printSchema bool
	cmd := &cobra.Command{
		Use:     r.use + " --config F",
		Short:   r.short,
		Long:    r.long + "\n\nStops cleanly on SIGINT or SIGTERM; a second signal ends it at once.",
		Example: r.example,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := roleConfig(cmd, file, listen)
			if err != nil {
				return err
			}
			if printSchema {
				text, err := schemas.PrintSchema(cfg.ClickHouse.Schema())
				if err != nil {
					return err
				}
				_, err = fmt.Fprint(cmd.OutOrStdout(), text)
				return err
			}
			return profiled(profile, func() error { return runRole(cmd, g, r, cfg) })
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (default: built-in values and the environment)")
	cmd.Flags().StringVar(&listen, "http", "", "address of health and metrics (default: http.listen of the configuration)")
	profileFlag(cmd, &profile)
	if r.stores && !r.detects {
		cmd.Flags().BoolVar(&printSchema, "print-schema", false, "print the SQL of database, tables and views, and do nothing")
	}
	return cmd
}

func roleConfig(cmd *cobra.Command, file, listen string) (Config, error) {
	flags := layer{}
	if listen != "" {
		flags["http.listen"] = listen
	}
	cfg, warnings, err := loadConfig(configSource{file: file, environ: os.Environ(), flags: flags})
	for _, w := range warnings {
		cmd.PrintErrln(w)
	}
	return cfg, err
}

// runRole runs until a signal comes or something fails for good.
func runRole(cmd *cobra.Command, g *globals, r role, cfg Config) error {
	program, err := detector.Load(cfg.Rules)
	if err != nil {
		return err
	}
	log, err := g.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer log.Sync() //nolint:errcheck // standard error cannot always be synced, and it does not matter
	p, err := newProcess(cfg, r, program, log)
	if err != nil {
		return err
	}
	p.watchRules()
	return withinTimeout(cmd.Context(), time.Duration(cfg.ShutdownTimeout), p.run)
}

// withinTimeout runs f, and leaves it behind where it does not return within timeout
// after ctx is done: the process is about to end then.
func withinTimeout(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("stopping takes longer than shutdown_timeout (%s): what was in hand is not committed and comes again", timeout)
	}
}

// refuseAll makes a refusal of each line of err.
func refuseAll(err error) error {
	if _, ok := errors.AsType[*detector.Refusal](err); ok {
		return err
	}
	return &refusal{lines: strings.Split(err.Error(), "\n")}
}
