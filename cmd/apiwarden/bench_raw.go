package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// measureRaw measures the ceiling.
func (b *bench) measureRaw(ctx context.Context) error {
	logs, err := b.sharedLogs(ctx)
	if err != nil {
		return err
	}
	var all []throughput
	for range b.size.rounds {
		t, err := b.consumeRaw(ctx, logs)
		if err != nil {
			return err
		}
		b.say("raw: %.2f s, %.0f events/s, %.0f per CPU-second", t.Seconds, t.rate(), t.perCPU())
		all = append(all, t)
	}
	b.report.add(measure{Section: "raw", ID: "raw_rate", What: "plain consume, events/s", Value: medianOf(all, throughput.rate), Unit: "events/s"})
	b.report.add(measure{Section: "raw", ID: "raw_per_cpu", What: "plain consume, events per CPU-second", Value: medianOf(all, throughput.perCPU), Unit: "events/s"})
	return nil
}

// consumeRaw has a process of its own read the topic and do nothing with it.
func (b *bench) consumeRaw(ctx context.Context, topic string) (throughput, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("not done within %s", measureTimeout))
	defer cancel()
	var t throughput
	c, err := b.startChild("bench consume", "bench", "consume", "--brokers", strings.Join(b.broker.addrs, ","), topic, strconv.Itoa(b.size.events))
	if err != nil {
		return t, err
	}
	if err := c.wait(ctx); err != nil {
		return t, err
	}
	if err := json.Unmarshal(c.out.Bytes(), &t); err != nil {
		return t, fmt.Errorf("reading what the plain consumer says: %w", err)
	}
	t.WholeCPU = c.cpu().Seconds()
	return t, nil
}

// newBenchConsumeCommand is the plain consumer, as a process of its own.
func newBenchConsumeCommand() *cobra.Command {
	var brokers []string
	cmd := &cobra.Command{
		Use:    "consume TOPIC COUNT",
		Short:  "Consume COUNT records with a plain client and do nothing with them",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return argumentError(cmd, "COUNT %q is no number", args[1])
			}
			t, err := consumePlainly(cmd.Context(), brokers, args[0], n)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(t)
		},
	}
	cmd.Flags().StringSliceVar(&brokers, "brokers", []string{"127.0.0.1:9092"}, "brokers")
	return cmd
}

// consumePlainly reads the first n records of a topic with the client's defaults, in
// no group, and looks at none of them. The clock runs from the first poll on.
func consumePlainly(ctx context.Context, brokers []string, topic string, n int) (throughput, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.DisableClientMetrics(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return throughput{}, fmt.Errorf("setting up the kafka client: %w", err)
	}
	defer cl.Close()
	if err := cl.Ping(ctx); err != nil {
		return throughput{}, fmt.Errorf("connecting to kafka: %w", err)
	}
	began, cpu := time.Now(), processCPU()
	got := 0
	for got < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return throughput{}, fmt.Errorf("reading %s: %w", topic, err)
		}
		got += fetches.NumRecords()
	}
	return throughput{Events: got, Seconds: time.Since(began).Seconds(), CPU: (processCPU() - cpu).Seconds()}, nil
}
