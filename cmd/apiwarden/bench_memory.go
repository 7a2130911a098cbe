package main

import (
	"context"
	"time"
)

// measureMemory compares what a detect process occupies with many active addresses
// with what it does with few, two events each: so what every process needs is not in
// it, and what the garbage collector leaves lying about is.
func (b *bench) measureMemory(ctx context.Context) error {
	resident := make(map[int]throughput)
	for _, addresses := range []int{b.size.fewAddresses, b.size.manyAddresses} {
		topic := b.topicSet("memory").Logs
		events := 2 * addresses
		// All of them within the windows of five minutes and more.
		s := eventStream{addresses: addresses, inOrder: true, step: max(time.Microsecond, (240 * time.Second / time.Duration(events)).Truncate(time.Microsecond))}
		if err := b.fill(ctx, topic, s, events); err != nil {
			return err
		}
		t, err := b.detectAll(ctx, topic, "memory", benchSixRules, events)
		if err != nil {
			return err
		}
		b.say("%d addresses: %.0f MB resident, %.0f MB of them state", addresses, t.Resident/1e6, t.State/1e6)
		resident[addresses] = t
		b.dropTopics()
	}
	many, few := resident[b.size.manyAddresses], resident[b.size.fewAddresses]
	more := float64(b.size.manyAddresses - b.size.fewAddresses)
	b.report.add(
		atMost(200, measure{Section: "memory", ID: "memory_resident", What: "resident memory per active address, six rules, two events each", Value: (many.Resident - few.Resident) / more, Unit: "B"}),
		measure{Section: "memory", ID: "memory_state", What: "of it, what the engine says it holds", Value: (many.State - few.State) / more, Unit: "B"},
	)
	return nil
}
