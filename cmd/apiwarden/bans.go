package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

func newBansCommand(g *globals) *cobra.Command {
	cmds := []*cobra.Command{newBansListCommand(g)}
	for _, c := range bansChanges() {
		cmds = append(cmds, newBansChangeCommand(g, c))
	}
	return groupCommand("bans", "Show what is enforced now, ban and unban by hand", cmds...)
}

func newBansListCommand(g *globals) *cobra.Command {
	var (
		kafka  kafkaFlags
		topic  string
		asJSON bool
		exempt bool
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the bans and throttles in force",
		Long: `Reads the ban topic from its start to its end and lists what is in force now; bans by
hand have the rule "manual". With --exempt it reads the control topic and lists who has
been exempt by hand. It needs Kafka and no other process of apiwarden.`,
		Example: `  apiwarden bans list --brokers 127.0.0.1:9092
  apiwarden bans list --config apiwarden.yaml --json | jq -r .value
  apiwarden bans list --exempt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := kafka.config(cmd)
			if err != nil {
				return err
			}
			switch {
			case topic != "":
			case exempt:
				topic = cfg.Topics.Control
			default:
				topic = cfg.Topics.Bans
			}
			log, err := g.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			cl, err := sink.Connect(cmd.Context(), cfg.Kafka, log)
			if err != nil {
				return err
			}
			defer cl.Close()
			if exempt {
				said, err := sink.ReadControls(cmd.Context(), cl, topic)
				if err != nil {
					return err
				}
				return printExemptions(cmd.OutOrStdout(), said, time.Now(), asJSON)
			}
			bans, err := sink.ReadBans(cmd.Context(), cl, topic)
			if err != nil {
				return err
			}
			if asJSON {
				return printBansJSON(cmd.OutOrStdout(), bans)
			}
			return printBans(cmd.OutOrStdout(), bans, time.Now())
		},
	}
	kafka.register(cmd.Flags())
	cmd.Flags().StringVar(&topic, "topic", "", "topic to read (default: topics.bans of the configuration, api-bans; with --exempt topics.control, apiwarden-control)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, as on the ban topic")
	cmd.Flags().BoolVar(&exempt, "exempt", false, "list exemptions by hand instead")
	return cmd
}

func printBansJSON(w io.Writer, bans []schemas.Ban) error {
	out := bufio.NewWriter(w)
	var line []byte
	for i := range bans {
		line = append(schemas.AppendBan(line[:0], &bans[i]), '\n')
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("writing a ban: %w", err)
		}
	}
	return out.Flush()
}

// printBans writes a table for a person.
func printBans(w io.Writer, bans []schemas.Ban, now time.Time) error {
	if len(bans) == 0 {
		_, err := fmt.Fprintln(w, "nobody is banned or throttled")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ACTION\tSCOPE\tSUBJECT\tENDS\tSINCE\tRULES\tREASON")
	for i := range bans {
		b := &bans[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.Action, b.Scope, b.Value,
			humanize.RelTime(b.ExpiresAt.Time(), now, "ago", "from now"), b.Since.Time().Format(time.DateTime),
			strings.Join(b.RuleIDs, ", "), b.Reason)
	}
	return t.Flush()
}
