package main

import "context"

// measureDetect measures the whole way from the topic of events to acknowledged
// verdicts, with one rule and with six. Each round has the ceiling measured right
// before, so that a machine that is slower for a while is so for both.
func (b *bench) measureDetect(ctx context.Context) error {
	logs, err := b.sharedLogs(ctx)
	if err != nil {
		return err
	}
	var one, six []throughput
	var ratioOne, ratioSix []float64
	for range b.size.rounds {
		raw, err := b.consumeRaw(ctx, logs)
		if err != nil {
			return err
		}
		t6, err := b.detectAll(ctx, logs, "six", benchSixRules, b.size.events)
		if err != nil {
			return err
		}
		b.say("six rules: %v; %.0f %% of %.0f", t6, 100*t6.rate()/raw.rate(), raw.rate())
		t1, err := b.detectAll(ctx, logs, "one", benchOneRule, b.size.events)
		if err != nil {
			return err
		}
		b.say("one rule:  %v; %.0f %% of %.0f", t1, 100*t1.rate()/raw.rate(), raw.rate())
		one, six = append(one, t1), append(six, t6)
		ratioOne, ratioSix = append(ratioOne, 100*t1.rate()/raw.rate()), append(ratioSix, 100*t6.rate()/raw.rate())
	}
	b.report.add(
		measure{Section: "detect", ID: "detect_rate_1", What: "detect with one rule, events/s", Value: medianOf(one, throughput.rate), Unit: "events/s"},
		measure{Section: "detect", ID: "detect_per_cpu_1", What: "detect with one rule, events per CPU-second", Value: medianOf(one, throughput.perCPU), Unit: "events/s"},
		measure{Section: "detect", ID: "detect_ratio_1", What: "detect with one rule, of plain consume", Value: median(ratioOne), Unit: "%"},
		measure{Section: "detect", ID: "detect_rate_6", What: "detect with six rules, events/s", Value: medianOf(six, throughput.rate), Unit: "events/s"},
		measure{Section: "detect", ID: "detect_per_cpu_6", What: "detect with six rules, events per CPU-second", Value: medianOf(six, throughput.perCPU), Unit: "events/s"},
		atLeast(50, measure{Section: "detect", ID: "detect_ratio_6", What: "detect with six rules, of plain consume", Value: median(ratioSix), Unit: "%"}),
		measure{Section: "detect", ID: "detect_verdicts_6", What: "verdicts of six rules, acknowledged", Value: medianOf(six, func(t throughput) float64 { return t.Verdicts }), Unit: "verdicts"},
		measure{Section: "detect", ID: "detect_resident", What: "resident memory with six rules and all addresses", Value: medianOf(six, func(t throughput) float64 { return t.Resident / 1e6 }), Unit: "MB"},
	)
	return nil
}
