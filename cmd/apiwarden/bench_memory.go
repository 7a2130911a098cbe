package main

import (
	"context"
	"time"
)

// measureMemory compares what a detect process occupies with many active addresses
// with what it does with few, two events each: so what every process needs is not in
// it, and what the garbage collector leaves lying about is.
func (b *bench) measureMemory(ctx context.Context) error {
	few, err := b.residentWith(ctx, b.size.fewAddresses)
	if err != nil {
		return err
	}
	many, err := b.residentWith(ctx, b.size.manyAddresses)
	if err != nil {
		return err
	}
	more := float64(b.size.manyAddresses - b.size.fewAddresses)
	b.report.add(
		atMost(200, measure{Section: "memory", ID: "memory_resident", What: "resident memory per active address, six rules, two events each", Value: (many.Resident - few.Resident) / more, Unit: "B"}),
		measure{Section: "memory", ID: "memory_state", What: "of it, what the engine says it holds", Value: (many.State - few.State) / more, Unit: "B"},
	)
	return nil
}

// residentWith gives the medians of resident memory and state of processes that have
// judged two events of each of so many addresses.
func (b *bench) residentWith(ctx context.Context, addresses int) (throughput, error) {
	defer b.dropTopics()
	topic := b.topicSet("memory").Logs
	events := 2 * addresses
	// All of them within the windows of five minutes and more.
	step := max(time.Microsecond, (240 * time.Second / time.Duration(events)).Truncate(time.Microsecond))
	if err := b.fill(ctx, topic, eventStream{addresses: addresses, inOrder: true, step: step}, events); err != nil {
		return throughput{}, err
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
