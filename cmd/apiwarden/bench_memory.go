package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// measureMemory compares what a detect process occupies with many active addresses
// with what it does with few, two events each: so what every process needs is not in
// it, and what the garbage collector leaves lying about is. Both read as many records,
// since that is what garbage depends on: where addresses are few, the rest comes too
// late to count.
func (b *bench) measureMemory(ctx context.Context) error {
	few, err := b.residentWith(ctx, b.size.fewAddresses)
	if err != nil {
		return err
	}
	many, err := b.residentWith(ctx, b.size.manyAddresses)
	if err != nil {
		return err
	}
	fewLines, err := b.replayResident(ctx, b.size.fewAddresses)
	if err != nil {
		return err
	}
	manyLines, err := b.replayResident(ctx, b.size.manyAddresses)
	if err != nil {
		return err
	}
	more := float64(b.size.manyAddresses - b.size.fewAddresses)
	b.report.add(
		atMost(200, measure{Section: "memory", ID: "memory_replay", What: "resident memory per active address, six rules, two events each, in replay", Value: (manyLines - fewLines) / more, Unit: "B"}),
		atMost(200, measure{Section: "memory", ID: "memory_resident", What: "the same in detect, over eight partitions", Value: (many.Resident - few.Resident) / more, Unit: "B"}),
		measure{Section: "memory", ID: "memory_state", What: "of it, what the engine says it holds", Value: (many.State - few.State) / more, Unit: "B"},
	)
	return nil
}

// replayResident gives the most bytes that were resident while replay judged two events
// of each of so many addresses. It has one engine and makes next to no garbage.
func (b *bench) replayResident(ctx context.Context, addresses int) (float64, error) {
	rules, file := filepath.Join(b.dir, "six.yaml"), filepath.Join(b.dir, "two-each.jsonl")
	defer os.Remove(file)
	if err := os.WriteFile(rules, []byte(benchSixRules), 0o600); err != nil {
		return 0, fmt.Errorf("writing rules: %w", err)
	}
	if err := writeStream(ctx, file, twoEach(addresses), 2*addresses); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("not done within %s", measureTimeout))
	defer cancel()
	c, err := b.startChild("replay", "replay", "--rules", rules, file)
	if err != nil {
		return 0, err
	}
	peak := 0.0
	for {
		select {
		case <-c.done:
			return peak, c.wait(ctx)
		case <-ctx.Done():
			return 0, c.wait(ctx)
		case <-time.After(10 * time.Millisecond):
			peak = max(peak, peakResident(c.cmd.Process.Pid))
		}
	}
}

// peakResident gives the most bytes of a process that were resident so far, 0 where the
// system does not tell. (What wait4 tells after its end is no less than this process's
// own.)
func peakResident(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kB float64
	if _, err := fmt.Sscan(string(rest), &kB); err != nil {
		return 0
	}
	return kB * 1024
}

// twoEach is a stream in which each address comes twice, all within the windows of
// five minutes and more.
func twoEach(addresses int) eventStream {
	step := max(time.Microsecond, (240 * time.Second / time.Duration(2*addresses)).Truncate(time.Microsecond))
	return eventStream{addresses: addresses, inOrder: true, step: step}
}

// residentWith gives the medians of resident memory and state of processes that have
// judged two events of each of so many addresses.
func (b *bench) residentWith(ctx context.Context, addresses int) (throughput, error) {
	defer b.dropTopics()
	topic := b.topicSet("memory").Logs
	events := 2 * addresses
	if err := b.fill(ctx, topic, twoEach(addresses), events); err != nil {
		return throughput{}, err
	}
	if late := 2*b.size.manyAddresses - events; late > 0 {
		if err := b.fillMore(ctx, topic, eventStream{addresses: addresses, inOrder: true, step: time.Microsecond}, late); err != nil {
			return throughput{}, err
		}
		events += late
	}
	var all []throughput
	for range b.size.rounds {
		t, err := b.detectAll(ctx, topic, "memory", benchSixRules, events)
		if err != nil {
			return t, err
		}
		b.say("%d addresses: %.0f MB resident, %.0f MB of them state", addresses, t.Resident/1e6, t.State/1e6)
		all = append(all, t)
	}
	return throughput{
		Resident: medianOf(all, func(t throughput) float64 { return t.Resident }),
		State:    medianOf(all, func(t throughput) float64 { return t.State }),
	}, nil
}
