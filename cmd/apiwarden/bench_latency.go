package main

import (
	"context"
	"fmt"
	"time"
)

// latencyRules are the six, and one that fires on every probeEvery-th event.
const latencyRules = benchSixRules + benchProbe

// latency is what was found at one rate.
type latency struct {
	rate     int     // events a second that were due
	judged   float64 // events a second that were finished, while the generator ran
	took     []float64
	expected int
}

func (l latency) ms(q float64) float64 { return quantileOf(l.took, q) }

func (l latency) String() string {
	return fmt.Sprintf("p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f, max %.1f ms of %d verdicts", l.ms(0.5), l.ms(0.9), l.ms(0.99), l.ms(0.999), l.ms(1), len(l.took))
}

// measureLatency measures from when an event was due to when a subscriber has its
// verdict: at a fixed rate, which has targets, and at fractions of the full load.
func (b *bench) measureLatency(ctx context.Context) error {
	var fixed []latency
	for range b.size.rounds {
		l, err := b.latencyAt(ctx, b.size.latencyRate, b.size.latencyFor)
		if err != nil {
			return err
		}
		b.say("%d events/s: %v", l.rate, l)
		fixed = append(fixed, l)
	}
	at := fmt.Sprintf("at %s events/s: ", figure(float64(b.size.latencyRate)))
	ms := func(q float64, name string) measure {
		middle := medianOf(fixed, func(l latency) float64 { return l.ms(q) })
		return measure{Section: "latency", ID: "latency_" + name, What: at + name, Value: middle, Unit: "ms"}
	}
	b.report.add(atMost(5, ms(0.5, "p50")), ms(0.9, "p90"), atMost(20, ms(0.99, "p99")), ms(0.999, "p99.9"), ms(1, "max"))
	came := medianOf(fixed, func(l latency) float64 { return 100 * float64(len(l.took)) / float64(l.expected) })
	b.report.add(measure{Section: "latency", ID: "latency_verdicts", What: at + "verdicts that came, of those that had to", Value: came, Unit: "%"})

	full, err := b.fullLoad(ctx)
	if err != nil {
		return err
	}
	b.report.add(measure{Section: "latency", ID: "latency_full_load", What: "full load beside the generator", Value: full, Unit: "events/s"})
	curves := []series{{Name: "p50"}, {Name: "p99"}, {Name: "p99.9"}}
	for _, fraction := range b.size.loadFraction {
		l, err := b.latencyAt(ctx, int(fraction*full), b.size.latencyPoint)
		if err != nil {
			return err
		}
		b.say("%.0f %% of full load, %d events/s: %v", 100*fraction, l.rate, l)
		for i, q := range []float64{0.5, 0.99, 0.999} {
			curves[i].Points = append(curves[i].Points, point{float64(l.rate), l.ms(q)})
		}
	}
	b.report.plot(curve{ID: "latency", Title: "From produced to verdict acknowledged",
		X: axis{Label: "events/s"}, Y: axis{Label: "ms", Log: true}, Series: curves})
	return nil
}

// fullLoad is how many events a second are finished when more than that are due.
// Generator, broker and detect share the machine, so it is less than detect reaches
// with a topic that is full already.
func (b *bench) fullLoad(ctx context.Context) (float64, error) {
	offered := 4 * b.size.latencyRate
	for {
		l, err := b.latencyAt(ctx, offered, b.size.latencyPoint)
		if err != nil {
			return 0, err
		}
		b.say("offered %d events/s: %.0f finished", offered, l.judged)
		if l.judged < 0.9*float64(offered) || offered >= 64*b.size.latencyRate {
			return l.judged, nil
		}
		offered *= 2
	}
}

// latencyAt has events of a rate judged for d, after a while to warm up.
func (b *bench) latencyAt(ctx context.Context, rate int, d time.Duration) (latency, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("not done within %s", measureTimeout))
	defer cancel()
	defer b.dropTopics()
	topics := b.topicSet("latency")
	if err := b.makeTopic(ctx, topics.Logs, benchPartitions); err != nil {
		return latency{}, err
	}
	if err := b.makeOutputs(ctx, topics); err != nil {
		return latency{}, err
	}
	load, err := newGenerator(ctx, b.broker, topics.Logs, b.size.addresses, rate)
	if err != nil {
		return latency{}, err
	}
	c, err := b.startRole(ctx, roleSetup{role: "detect", purpose: "latency", rules: latencyRules, topics: topics, profile: "latency"})
	if err != nil {
		return latency{}, err
	}
	defer c.stop()
	verdicts, err := followVerdicts(ctx, b.broker.addrs, topics.Verdicts)
	if err != nil {
		return latency{}, err
	}
	defer verdicts.close()
	from := time.Now().Add(b.size.warmUp)
	sending := make(chan error, 1)
	go func() { sending <- load.run(ctx, b.size.warmUp+d) }()
	judged, err := b.judgedMeanwhile(ctx, c, from, from.Add(d))
	if failed := <-sending; failed != nil {
		return latency{}, failed
	}
	if err != nil {
		return latency{}, err
	}
	if n := load.late.Load(); n > 0 {
		b.say("%d batches were not sent: %d were unanswered already", n, mostUnanswered)
	}
	l := latency{rate: rate, judged: judged, expected: expected(load.sent, from)}
	// What is behind has a while to come; what does not is told.
	for end := time.Now().Add(d); ; {
		if l.took = verdicts.latencies(load.sent, from); len(l.took) >= l.expected || time.Now().After(end) {
			return l, nil
		}
		if err := c.pause(ctx, 100*time.Millisecond); err != nil {
			return l, err
		}
	}
}

// judgedMeanwhile is how many events a second a role finishes between two instants.
func (b *bench) judgedMeanwhile(ctx context.Context, c *roleChild, from, to time.Time) (float64, error) {
	if err := c.pause(ctx, time.Until(from)); err != nil {
		return 0, err
	}
	first, err := c.read(ctx)
	if err != nil {
		return 0, err
	}
	if err := c.pause(ctx, time.Until(to)); err != nil {
		return 0, err
	}
	last, err := c.read(ctx)
	if err != nil {
		return 0, err
	}
	const metric = "apiwarden_consumer_records_total"
	return (last.metrics[metric] - first.metrics[metric]) / last.at.Sub(first.at).Seconds(), nil
}
