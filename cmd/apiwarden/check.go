package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/apiwarden/apiwarden/detector"
)

func newCheckCommand() *cobra.Command {
	var rules, config string
	cmd := &cobra.Command{
		Use:   "check [--rules RULES.yaml] [--config F]",
		Short: "Check a rules file, and a configuration",
		Long: `Prints every problem of a rules file (or a folder of them) as "file:line: reason"
and ends with status 2; ends with status 0 where there is none. Warnings are marked as
such and are no problems. With --config the configuration is checked too, and without
--rules the rules that it names.`,
		Example: `  apiwarden check --rules rules.yaml
  apiwarden check --rules deploy/rules
  apiwarden check --config /etc/apiwarden/apiwarden.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return check(cmd, rules, config) },
	}
	cmd.Flags().StringVar(&rules, "rules", "", "rules file, or folder of rules files")
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	return cmd
}

func check(cmd *cobra.Command, rules, config string) error {
	if rules == "" && config == "" {
		return argumentError(cmd, "--rules or --config is missing: name what is to be checked")
	}
	out := cmd.OutOrStdout()
	sound := true
	if config != "" {
		cfg, warnings, err := loadConfig(configSource{file: config, environ: os.Environ()})
		var refd *refusal
		switch {
		case errors.As(err, &refd):
			sound = false
			for _, line := range refd.lines {
				fmt.Fprintln(out, line)
			}
		case err != nil:
			return err
		case rules == "":
			rules = cfg.Rules
		}
		for _, w := range warnings {
			fmt.Fprintln(out, w+" (warning)")
		}
	}
	if rules != "" {
		program, err := detector.Load(rules)
		var refd *detector.Refusal
		switch {
		case errors.As(err, &refd):
			sound = false
			for _, p := range refd.Problems {
				fmt.Fprintln(out, p)
			}
		case err != nil:
			return err
		default:
			for _, w := range program.Warnings() {
				fmt.Fprintf(out, "%s (warning)\n", w)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s, no problem\n", rules, counted(int64(len(program.Rules())), "rule"))
		}
	}
	if !sound {
		return &refusal{}
	}
	return nil
}
