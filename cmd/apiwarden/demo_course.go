package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/sink"
)

// course is how far the demo has come: its phase, the counters of what flows, and
// offsets. Safe for concurrent use.
type course struct {
	admin  *kadm.Client
	group  string
	topics sink.Topics
	seer   *kgo.Client // reads verdicts, bans, dead letters

	mu         sync.Mutex
	phase      string
	since      time.Time // start of the live traffic; zero: not live
	length     time.Duration
	flows      [3]flow // produced, detected, stored
	lagDetect  int64
	lagStore   int64
	subjects   int64
	saw        map[string]map[int32]int64 // next offset, by topic and partition
	lastSample time.Time
}

func newCourse(cl *kgo.Client, group string, t sink.Topics) *course {
	return &course{admin: kadm.NewClient(cl), group: group, topics: t, phase: "starting", saw: map[string]map[int32]int64{}}
}

func (c *course) say(phase string, length time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.length, c.since = phase, length, time.Time{}
}

func (c *course) live(since time.Time, length time.Duration) {
	c.say("live", length)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = since
	for i := range c.flows {
		c.flows[i].rates = nil // those of the history are out of all proportion
	}
}

// sawTo notes that everything before offset next was read.
func (c *course) sawTo(topic string, partition int32, next int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saw[topic] == nil {
		c.saw[topic] = map[int32]int64{}
	}
	c.saw[topic][partition] = next
}

// sawAll says whether topics were read to their ends.
func (c *course) sawAll(ctx context.Context, topics ...string) (bool, error) {
	ends, err := c.admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return false, fmt.Errorf("looking for the ends of topics: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := true
	ends.Each(func(o kadm.ListedOffset) { all = all && o.Err == nil && c.saw[o.Topic][o.Partition] >= o.Offset })
	return all, nil
}

// committed says whether group has committed all of a topic.
func (c *course) committed(ctx context.Context, group, topic string) (bool, error) {
	lag, err := c.lag(ctx, group, topic)
	return err == nil && lag == 0, err
}

// lag is how many records of topics group has not committed.
func (c *course) lag(ctx context.Context, group string, topics ...string) (int64, error) {
	ends, err := c.admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return 0, fmt.Errorf("looking for the ends of topics: %w", err)
	}
	commits, err := c.admin.FetchOffsets(ctx, group)
	if err != nil {
		return 0, fmt.Errorf("looking for the offsets of group %s: %w", group, err)
	}
	var lag int64
	ends.Each(func(o kadm.ListedOffset) {
		at := int64(0)
		if commit, ok := commits.Lookup(o.Topic, o.Partition); ok && commit.Err == nil {
			at = max(0, commit.At)
		}
		lag += max(0, o.Offset-at)
	})
	return lag, nil
}

// until waits for done, asking several times a second; longest is how long. Errors of
// done are taken for passing ones until the time is over.
func (c *course) until(ctx context.Context, phase string, longest time.Duration, done func(context.Context) (bool, error)) error {
	c.say(phase, 0)
	ctx, cancel := context.WithTimeoutCause(ctx, longest, errTooSlow)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s: %w", phase, context.Cause(ctx)), err)
		case <-tick.C:
		}
	}
}

// measure samples the counters once a second until ctx ends.
func (d *demo) measure(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			d.sample(now)
		}
	}
}

func (d *demo) sample(now time.Time) {
	p := d.course
	totals := [3]float64{float64(d.feeder.sent.Load() + d.feeder.bad.Load())}
	var lagDetect, lagStore, subjects float64
	families, err := d.process.registry.Gather()
	if err != nil {
		return // a metric that cannot be had is looked for again in a second
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			label := ""
			if pairs := m.GetLabel(); len(pairs) == 1 {
				label = pairs[0].GetValue()
			}
			switch {
			case f.GetName() == "apiwarden_consumer_records_total" && label == p.topics.Logs:
				totals[1] += m.GetCounter().GetValue()
			case f.GetName() == "apiwarden_sink_rows_total" && label == "events":
				totals[2] += m.GetCounter().GetValue()
			case f.GetName() == "apiwarden_consumer_lag_records":
				lagDetect += m.GetGauge().GetValue()
			case f.GetName() == "apiwarden_consumer_store_lag_records":
				lagStore += m.GetGauge().GetValue()
			case f.GetName() == "apiwarden_detector_subjects":
				subjects += m.GetGauge().GetValue()
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.flows {
		after := time.Duration(0)
		if !p.lastSample.IsZero() {
			after = now.Sub(p.lastSample)
		}
		p.flows[i].observe(totals[i], after)
	}
	p.lastSample = now
	p.lagDetect, p.lagStore, p.subjects = int64(lagDetect), int64(lagStore), int64(subjects)
}
