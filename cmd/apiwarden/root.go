package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/apiwarden/apiwarden/schemas"
)

// newRootCommand assembles the command line. g receives the global flags.
func newRootCommand(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use:   "apiwarden",
		Short: "Streaming detector of API abuse",
		Long: `apiwarden reads access-log events from Kafka, keeps exact sliding windows per
client, and decides within a second whom to ban, throttle, report or note. Verdicts
and bans go to Kafka topics, events and verdicts to ClickHouse.

It ends with status 0 when it is done, 1 when it failed while running, and 2 when its
flags, configuration or rules are refused.`,
		Example: `  apiwarden demo                                         # everything embedded, nothing to install
  apiwarden check --rules rules.yaml                     # is this rules file sound?
  apiwarden replay --rules rules.yaml events.jsonl       # what would these rules have decided?
  apiwarden run --config apiwarden.yaml                  # detect and store`,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			g.started = true
			_, err := g.logger(cmd.ErrOrStderr())
			return err
		},
	}
	root.PersistentFlags().StringVar(&g.logLevel, "log-level", "info", "debug, info, warn or error")
	root.PersistentFlags().StringVar(&g.logFormat, "log-format", "", "json or console (default: console on a terminal, else json)")
	root.SetFlagErrorFunc(explainFlagError)

	for _, r := range roles() {
		root.AddCommand(newRoleCommand(g, r))
	}
	root.AddCommand(
		newDemoCommand(g),
		newProduceCommand(g),
		newReplayCommand(),
		newCheckCommand(),
		newBaselineCommand(g),
		newBansCommand(g),
		newVerifyCommand(g),
		newBenchCommand(),
		newVersionCommand(),
		newDocsCommand(),
	)
	return root
}

// explainFlagError adds the nearest flag to an unknown one, and where help is.
func explainFlagError(cmd *cobra.Command, err error) error {
	help := cmd.CommandPath() + " --help"
	if name, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		var flags []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
		if near := schemas.Nearest(name, flags); near != "" {
			err = fmt.Errorf("unknown flag --%s (did you mean --%s?)", name, near)
		}
	}
	return &usageError{err: err, help: help}
}

// argumentError explains what is wrong with a command's arguments.
func argumentError(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), help: cmd.CommandPath() + " --help"}
}

// groupCommand makes a command that only holds others.
func groupCommand(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return argumentError(cmd, "%s needs one of its commands", cmd.CommandPath())
			}
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return argumentError(cmd, "unknown command %q for %q (did you mean %s?)", args[0], cmd.CommandPath(), strings.Join(near, " or "))
			}
			return argumentError(cmd, "unknown command %q for %q", args[0], cmd.CommandPath())
		},
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(children...)
	return cmd
}
