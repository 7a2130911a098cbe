package main

import (
	"context"
	"time"
)

// floodWindow is the shortest span of which a flooding client has all its live events
// inside: that of most of the rules.
const floodWindow = 300 * time.Second

// measureFlood measures ten clients whose windows hold many events each, and beside
// it as many events of the many clients.
func (b *bench) measureFlood(ctx context.Context) error {
	n := floodClients * b.size.floodLive
	// Twice the window: in the second half every window is full.
	events := max(2*n, b.size.events/2)
	step := (floodWindow / time.Duration(n)).Truncate(time.Microsecond)
	flood, calm := b.topicSet("flood").Logs, b.topicSet("calm").Logs
	if err := b.fill(ctx, flood, eventStream{addresses: floodClients, step: step}, events); err != nil {
		return err
	}
	if err := b.fill(ctx, calm, eventStream{addresses: b.size.addresses, step: step}, events); err != nil {
		return err
	}
	for _, r := range []struct{ id, what, rules string }{{"1", "one rule", benchOneRule}, {"6", "six rules", benchSixRules}} {
		var perCPU, rates []float64
		for range b.size.rounds {
			f, err := b.detectAll(ctx, flood, "flood-"+r.id, r.rules, events)
			if err != nil {
				return err
			}
			c, err := b.detectAll(ctx, calm, "calm-"+r.id, r.rules, events)
			if err != nil {
				return err
			}
			b.say("%s: flood %v; calm %v", r.what, f, c)
			perCPU, rates = append(perCPU, 100*f.perCPU()/c.perCPU()), append(rates, 100*f.rate()/c.rate())
		}
		b.report.add(
			atLeast(80, measure{Section: "flood", ID: "flood_rate_" + r.id, What: "ten clients flood, " + r.what + ": events/s, of those with many clients", Value: median(rates), Unit: "%"}),
			atLeast(80, measure{Section: "flood", ID: "flood_per_cpu_" + r.id, What: "the same per CPU-second", Value: median(perCPU), Unit: "%"}),
		)
	}
	return nil
}
