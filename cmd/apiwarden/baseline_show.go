package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/apiwarden/apiwarden/consumer"
	"github.com/apiwarden/apiwarden/detector"
)

func newBaselineShowCommand(g *globals) *cobra.Command {
	var (
		kafka    kafkaFlags
		rules    string
		endpoint string
		asJSON   bool
	)
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show what learned rules know of endpoints",
		Long: `Reads what was learned from the topic state, where it is written once in
state.interval, and lists it by endpoint: what is usual now and, in brackets, the least
and the most that is remembered. Rules say what is looked at, so only what the rules at hand
look at is shown, once for each way of looking at it. It needs Kafka and no other process of
apiwarden.

An endpoint is "learning" until a whole day of it is known. One that is "pooled" is rare:
it is judged together with others like it, but for its latency.`,
		Example: `  apiwarden baseline show --config apiwarden.yaml
  apiwarden baseline show --config apiwarden.yaml --endpoint "POST /pay" --json | jq .latency`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := kafka.config(cmd)
			if err != nil {
				return err
			}
			if rules == "" {
				rules = cfg.Rules
			}
			program, err := detector.Load(rules)
			if err != nil {
				return err
			}
			log, err := g.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			learned, err := consumer.ReadLearned(cmd.Context(), cfg.consumer(), consumer.Deps{Program: program, Log: log})
			if err != nil {
				return err
			}
			if endpoint != "" {
				learned = slices.DeleteFunc(learned, func(e detector.LearnedEndpoint) bool { return e.Endpoint != endpoint })
			}
			if asJSON {
				return printLearnedJSON(cmd.OutOrStdout(), learned)
			}
			return printLearned(cmd.OutOrStdout(), learned, time.Now())
		},
	}
	kafka.register(cmd.Flags())
	cmd.Flags().StringVar(&rules, "rules", "", "rules file, or folder of rules files (default: rules of the configuration)")
	cmd.Flags().StringVar(&endpoint, "endpoint", "", `only this endpoint, as verdicts name it ("POST /pay")`)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, with all that is known")
	return cmd
}

func printLearnedJSON(w io.Writer, learned []detector.LearnedEndpoint) error {
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for i := range learned {
		if err := lines.Encode(&learned[i]); err != nil {
			return fmt.Errorf("writing what was learned: %w", err)
		}
	}
	return out.Flush()
}

// printLearned writes a table for a person.
func printLearned(w io.Writer, learned []detector.LearnedEndpoint, now time.Time) error {
	if len(learned) == 0 {
		_, err := fmt.Fprintln(w, "nothing has been learned")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ENDPOINT\tREQUESTS/MIN\tCLIENTS/5MIN\t4XX\t5XX\tP50\tP95\tP99\tLARGEST\tSINCE\tNEWEST\tSTATE")
	for i := range learned {
		e := &learned[i]
		rate := figure(e.Requests)
		if e.Rate != nil {
			rate = usualRange(e.Rate, 1, "")
		}
		p50, p95, p99 := "-", "-", "-"
		if l := e.Latency; l != nil {
			p50, p95, p99 = figure(l.P50)+" ms", figure(l.P95)+" ms", figure(l.P99)+" ms"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Endpoint, rate, usualRange(e.Clients, 1, ""),
			usualRange(e.ClientErrors, 100, "%"), usualRange(e.ServerErrors, 100, "%"), p50, p95, p99, usualSizes(e.Sizes),
			e.Since.Time().Format(time.DateTime), humanize.RelTime(e.Newest.Time(), now, "ago", "from now"), stateOf(e))
	}
	return t.Flush()
}

// usualRange writes what is usual, and the least and the most that is remembered.
func usualRange(r *detector.LearnedRange, scale float64, unit string) string {
	if r == nil {
		return "-"
	}
	return fmt.Sprintf("%s%s (%s to %s%s)", figure(r.Usual*scale), unit, figure(r.Least*scale), figure(r.Most*scale), unit)
}

// usualSizes writes what nearly all requests are at most.
func usualSizes(sizes []detector.LearnedSize) string {
	if len(sizes) == 0 {
		return "-"
	}
	texts := make([]string, len(sizes))
	for i, s := range sizes {
		texts[i] = fmt.Sprintf("%s %s", s.Metric, humanize.Bytes(uint64(s.P9999)))
	}
	return strings.Join(texts, ", ")
}

func stateOf(e *detector.LearnedEndpoint) string {
	switch {
	case len(e.Episodes) > 0:
		p := e.Episodes[0]
		return fmt.Sprintf("%s: %s since %s", p.Rule, p.Of, p.Since.Time().Format(time.DateTime))
	case e.Pooled:
		return "pooled"
	case !e.Ready:
		return "learning"
	}
	return "ready"
}
