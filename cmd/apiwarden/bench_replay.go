package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
)

// measureReplay compares the CPU time of replay with that of a process that reads the
// same file in the same way and only visits the fields of each line.
func (b *bench) measureReplay(ctx context.Context) error {
	rules := filepath.Join(b.dir, "replay-rules.yaml")
	if err := os.WriteFile(rules, []byte(benchSixRules), 0o600); err != nil {
		return fmt.Errorf("writing rules: %w", err)
	}
	for i, addresses := range b.size.replayAddresses {
		file := filepath.Join(b.dir, "events.jsonl")
		s := eventStream{addresses: addresses, step: time.Millisecond, attackers: true}
		if err := writeStream(ctx, file, s, b.size.replayLines); err != nil {
			return err
		}
		var ratios, perCPU []float64
		for range b.size.rounds {
			visit, err := b.timeChild(ctx, "bench visit", "bench", "visit", file)
			if err != nil {
				return err
			}
			args := []string{"replay", "--rules", rules, file}
			if b.o.profile != "" {
				args = append(args, "--cpu-profile", filepath.Join(b.o.profile, fmt.Sprintf("replay-%d.pprof", addresses)))
			}
			replay, err := b.timeChild(ctx, "replay", args...)
			if err != nil {
				return err
			}
			b.say("%s addresses: replay %.2f s, visit %.2f s of CPU time", humanize.Comma(int64(addresses)), replay.Seconds(), visit.Seconds())
			ratios = append(ratios, replay.Seconds()/visit.Seconds())
			perCPU = append(perCPU, float64(b.size.replayLines)/replay.Seconds())
		}
		of := fmt.Sprintf("six rules, %s addresses", humanize.Comma(int64(addresses)))
		rate := measure{Section: "replay", ID: fmt.Sprintf("replay_per_cpu_%d", addresses), What: "replay of a file, " + of + ": events per CPU-second", Value: median(perCPU), Unit: "events/s"}
		ratio := measure{Section: "replay", ID: fmt.Sprintf("replay_ratio_%d", addresses), What: "CPU time of it, of one gjson visit of each line", Value: median(ratios)}
		if i == 0 {
			rate, ratio = atLeast(1e6, rate), atMost(1, ratio)
		} else {
			rate = atLeast(0.8e6, rate)
		}
		b.report.add(rate, ratio)
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("removing the log file: %w", err)
		}
	}
	return nil
}

// timeChild runs this program to its end and gives the CPU time that it took.
func (b *bench) timeChild(ctx context.Context, what string, args ...string) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("not done within %s", measureTimeout))
	defer cancel()
	c, err := b.startChild(what, args...)
	if err != nil {
		return 0, err
	}
	if err := c.wait(ctx); err != nil {
		return 0, err
	}
	return c.cpu(), nil
}

// writeStream writes the first n events of a stream as lines.
func writeStream(ctx context.Context, name string, s eventStream, n int) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("making a log file: %w", err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	var line []byte
	for i := range n {
		if i&0xfff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line = append(s.append(line[:0], i), '\n')
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("writing a log file: %w", err)
		}
	}
	if err := errors.Join(out.Flush(), f.Close()); err != nil {
		return fmt.Errorf("writing a log file: %w", err)
	}
	return nil
}

// newBenchVisitCommand is what replay is compared with, as a process of its own.
func newBenchVisitCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "visit FILE",
		Short:  "Visit the fields of each line of a file with gjson and do nothing with them",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := openLog(cmd.Context(), args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer in.close()
			fields, err := visitLines(newLineReader(in, int(defaultMaxRecord)))
			if err != nil {
				return fmt.Errorf("visiting %s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d fields\n", fields)
			return err
		},
	}
}

func visitLines(lines *lineReader) (fields int, err error) {
	for {
		line, _, err := lines.next()
		if errors.Is(err, io.EOF) {
			return fields, nil
		}
		if err != nil {
			return fields, err
		}
		gjson.ParseBytes(line).ForEach(func(_, _ gjson.Result) bool {
			fields++
			return true
		})
	}
}
