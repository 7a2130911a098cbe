package main

import (
	"context"
	"fmt"
	"time"

	"github.com/apiwarden/apiwarden/sink"
)

// throughput is one measurement of how fast events are taken.
type throughput struct {
	Events   int     `json:"events"`
	Seconds  float64 `json:"seconds"`
	CPU      float64 `json:"cpu_s"` // of the consuming process, in these seconds
	WholeCPU float64 `json:"-"`     // from the process's start to its end
	Resident float64 `json:"-"`     // bytes, at the end
	Verdicts float64 `json:"-"`
	State    float64 `json:"-"` // bytes that the engines hold
}

func (t throughput) rate() float64        { return float64(t.Events) / t.Seconds }
func (t throughput) perCPU() float64      { return float64(t.Events) / t.CPU }
func (t throughput) perWholeCPU() float64 { return float64(t.Events) / t.WholeCPU }
func (t throughput) String() string {
	return fmt.Sprintf("%.2f s, %.0f events/s, %.0f per CPU-second, %.0f verdicts", t.Seconds, t.rate(), t.perCPU(), t.Verdicts)
}

// measureTimeout bounds a measurement of throughput.
const measureTimeout = 3 * time.Minute

// detectAll has a detect process of its own judge all n events of a topic. The clock
// runs from the moment its partitions are assigned (the start of the process is not in
// it) until everything that came of the last event is acknowledged.
func (b *bench) detectAll(ctx context.Context, logs, purpose, rules string, n int) (throughput, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("not done within %s", measureTimeout))
	defer cancel()
	topics := b.topicSet(purpose)
	topics.Logs = logs
	// They exist before the process does: making them is not what is measured.
	if err := b.makeOutputs(ctx, topics); err != nil {
		return throughput{}, err
	}
	c, err := b.startRole(ctx, roleSetup{role: "detect", purpose: purpose, rules: rules, topics: topics, profile: purpose})
	if err != nil {
		return throughput{}, err
	}
	defer c.stop()
	t, err := c.consumeAll(ctx, "apiwarden_consumer_records_total", n)
	if err != nil {
		return t, err
	}
	c.stop()
	t.WholeCPU = c.cpu().Seconds()
	return t, nil
}

// cpuTick is the resolution of a process's CPU time: less cannot be told from nothing.
const cpuTick = 0.01

// consumeAll measures a role that was just assigned its partitions until the metric
// says n or more.
func (r *roleChild) consumeAll(ctx context.Context, metric string, n int) (throughput, error) {
	from := r.assigned
	to, err := r.awaitCount(ctx, from, metric, float64(n))
	if err != nil {
		return throughput{}, err
	}
	return throughput{
		Events: int(to.metrics[metric] - from.metrics[metric]), Seconds: to.at.Sub(from.at).Seconds(), CPU: max(to.cpu-from.cpu, cpuTick),
		Resident: to.resident, Verdicts: to.metrics["apiwarden_detector_verdicts_total"], State: to.metrics["apiwarden_detector_state_bytes"],
	}, nil
}

// makeOutputs makes the topics that detect writes to.
func (b *bench) makeOutputs(ctx context.Context, t sink.Topics) error {
	b.adopt(t)
	for _, name := range []string{t.Verdicts, t.Bans, t.DLQ} {
		if err := b.makeTopic(ctx, name, benchPartitions); err != nil {
			return err
		}
	}
	return nil
}
