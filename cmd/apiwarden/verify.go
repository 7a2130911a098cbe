package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/apiwarden/apiwarden/consumer"
	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	file       string
	from, to   string
	clickhouse bool
	asJSON     bool
	verbose    bool
}

func newVerifyCommand(g *globals) *cobra.Command {
	o := verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify --config F",
		Short: "Derive the verdicts from the log once more and compare",
		Long: `Reads the log that detect has judged, derives the verdicts from it once more with the
production engine, and compares them, field by field, with those on topics.verdicts and
in ClickHouse. It writes nothing, is in no group, and may run while detect and store do.
It ends with status 0 where all agree, and with 1 where verdicts are

  missing     the log gives them, and they are not there
  extra       they are there, and the log does not give them
  different   they are there with other values than the log gives

Each part of the log is judged by the rules, bounds and manual changes that held there:
detect writes them to topics.state, with the offset from which each holds (--verbose
lists them). What input says is taken from the configuration, and so are the rules where
topics.state knows nothing.

The log is read from where counting began, or from where it begins now, whatever range
is asked for. What detect has not committed yet is not looked at, nor what store has not.
A process that crashes before it commits, followed by one with other rules, leaves
verdicts that the log does not give by those rules: they are extra. Verdicts
that depend on records which have been deleted from the log cannot be known, nor can
those that have outlived the retention of their place be missed: they are counted as
unknown.`,
		Example: `  apiwarden verify --config apiwarden.yaml
  apiwarden verify --config apiwarden.yaml --from 24h --json | jq .places
  apiwarden verify --config apiwarden.yaml --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z --clickhouse=false`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return verify(cmd, g, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.file, "config", "", "configuration file of detect and store (default: built-in values and the environment)")
	f.StringVar(&o.from, "from", "", "compare verdicts whose trigger was written at this `time` or later: RFC 3339, or how long ago, as in 24h or 7d")
	f.StringVar(&o.to, "to", "", "compare verdicts whose trigger was written before this `time`")
	f.BoolVar(&o.clickhouse, "clickhouse", true, "compare with ClickHouse too")
	f.BoolVar(&o.asJSON, "json", false, "print the report as JSON, with up to a thousand differences")
	f.BoolVar(&o.verbose, "verbose", false, "also list what was in force, from which offset of each partition")
	return cmd
}

func verify(cmd *cobra.Command, g *globals, o *verifyFlags) error {
	options, err := o.options(cmd, time.Now())
	if err != nil {
		return err
	}
	cfg, err := roleConfig(cmd, o.file, "")
	if err != nil {
		return err
	}
	program, err := detector.Load(cfg.Rules)
	if err != nil {
		return err
	}
	log, err := g.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if o.clickhouse {
		options.ClickHouse = &cfg.ClickHouse
	}
	v, err := consumer.NewVerify(cfg.consumer(), options, consumer.Deps{Program: program, Log: log})
	if err != nil {
		return refuseAll(err)
	}
	report, err := v.Run(cmd.Context())
	if err != nil {
		return err
	}
	if o.asJSON {
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		err = out.Encode(report)
	} else {
		err = printVerified(cmd.OutOrStdout(), report, o.verbose)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if report.Differences > 0 {
		return silentFailure{}
	}
	return nil
}

// options gives the range of the flags.
func (o *verifyFlags) options(cmd *cobra.Command, now time.Time) (consumer.VerifyOptions, error) {
	var out consumer.VerifyOptions
	for _, flag := range []struct {
		name, text string
		to         *time.Time
	}{{"from", o.from, &out.From}, {"to", o.to, &out.To}} {
		if flag.text == "" {
			continue
		}
		if at, err := time.Parse(time.RFC3339, flag.text); err == nil {
			*flag.to = at
		} else if ago, err := schemas.ParseDuration(flag.text); err == nil {
			*flag.to = now.Add(-ago)
		} else {
			return out, argumentError(cmd, "--%s is %q: write a time as in 2026-01-31T12:00:00Z, or how long ago, as in 24h or 7d", flag.name, flag.text)
		}
	}
	return out, nil
}
