package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// flatWithin is how far a cost may be from that where nothing has grown, in percent.
const flatWithin = 15

// growthPace is how long it takes for each client to have one more event, on average:
// a quarter of the longest window of the six rules.
const growthPace = 15 * time.Minute

// measureGrowth measures what an event costs in this process, decoded and judged,
// while addresses, rules or the window grow.
func (b *bench) measureGrowth(ctx context.Context) error {
	for _, grow := range []func(context.Context) error{b.growAddresses, b.growRules, b.growWindow} {
		if err := grow(ctx); err != nil {
			return err
		}
	}
	return nil
}

// growAddresses sets the cost beside that of as many look-ups in as much memory: what
// rises in both is the processor's caches.
func (b *bench) growAddresses(ctx context.Context) error {
	var ours, memory, rest series
	ours.Name, memory.Name, rest.Name = "decode and judge, six rules", "waiting for memory alone", "the difference"
	for _, addresses := range b.size.growthAddresses {
		// Each client is as busy as ever, so that its state is of one size, and old
		// events leave it as new ones come.
		s := eventStream{addresses: addresses, step: growthPace / time.Duration(addresses)}
		cost, state, err := b.judgeCost(ctx, benchSixRules, s, 5*addresses)
		if err != nil {
			return err
		}
		wait := memoryCost(state, b.size.growthEvents)
		b.say("%s addresses: %.0f ns an event, %.0f ns of them waiting for memory", humanize.Comma(int64(addresses)), cost, wait)
		x := float64(addresses)
		ours.Points, memory.Points = append(ours.Points, point{x, cost}), append(memory.Points, point{x, wait})
		rest.Points = append(rest.Points, point{x, cost - wait})
	}
	b.report.plot(curve{ID: "cost-addresses", Title: "Cost of an event against active addresses",
		X: axis{Label: "addresses", Log: true}, Y: axis{Label: "CPU ns per event"}, Series: []series{ours, memory, rest}})
	b.report.add(flatness("growth_addresses", "cost of an event without waiting for memory, from "+span(rest)+" addresses", rest))
	return nil
}

// growRules has rules of one endpoint each. A client is either at one of the
// endpoints for good, so that its state stays the same, or at any of them.
func (b *bench) growRules(ctx context.Context) error {
	var settled, roaming series
	settled.Name, roaming.Name = "each client at one endpoint", "each client at all endpoints"
	for _, n := range b.size.growthRules {
		for _, of := range []struct {
			line *series
			roam bool
		}{{&settled, false}, {&roaming, true}} {
			s := eventStream{addresses: b.size.growthClients, step: time.Millisecond, endpoints: n, roam: of.roam}
			cost, _, err := b.judgeCost(ctx, endpointRules(n), s, 4*b.size.growthClients)
			if err != nil {
				return err
			}
			b.say("%d rules, %s: %.0f ns an event", n, of.line.Name, cost)
			of.line.Points = append(of.line.Points, point{float64(n), cost})
		}
	}
	b.report.plot(curve{ID: "cost-rules", Title: "Cost of an event against rules of different endpoints",
		X: axis{Label: "rules", Log: true}, Y: axis{Label: "CPU ns per event"}, Series: []series{settled, roaming}})
	b.report.add(flatness("growth_rules", "cost of an event, clients at one endpoint each, from "+span(settled)+" rules", settled))
	return nil
}

// growWindow has the same events counted in ever longer windows.
func (b *bench) growWindow(ctx context.Context) error {
	line := series{Name: "one rule"}
	const step = 100 * time.Millisecond
	for _, window := range b.size.growthWindows {
		s := eventStream{addresses: b.size.growthClients, step: step}
		cost, _, err := b.judgeCost(ctx, windowRule(window), s, max(4*b.size.growthClients, int(window/step)))
		if err != nil {
			return err
		}
		b.say("window %s: %.0f ns an event", window, cost)
		line.Points = append(line.Points, point{window.Seconds(), cost})
	}
	b.report.plot(curve{ID: "cost-window", Title: "Cost of an event against the window",
		X: axis{Label: "window in seconds", Log: true}, Y: axis{Label: "CPU ns per event"}, Series: []series{line}})
	b.report.add(flatness("growth_window", "cost of an event, from "+span(line)+" seconds of window", line))
	return nil
}

// judgeCost is the CPU time of an event in ns: the median over parts of the measured
// events, which come after the first warm events of the stream. state is how many bytes
// the engine holds then.
func (b *bench) judgeCost(ctx context.Context, rules string, s eventStream, warm int) (cost float64, state int64, err error) {
	program, err := b.compile(rules)
	if err != nil {
		return 0, 0, err
	}
	decoder, err := schemas.NewDecoder(schemas.Options{})
	if err != nil {
		return 0, 0, fmt.Errorf("making a decoder: %w", err)
	}
	engine := detector.NewEngine(program, detector.Options{Topic: "bench", File: true})
	const parts = 10
	part := max(1, b.size.growthEvents/parts)
	lines := make([]byte, 0, part*benchEventBytes)
	var costs []float64
	for i := 0; i < warm+parts*part; {
		if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		n := part
		if i < warm {
			n = min(part, warm-i)
		}
		lines = lines[:0]
		for j := range n {
			lines = s.append(lines, i+j)
		}
		began := processCPU()
		if err := judgeLines(decoder, engine, lines, i); err != nil {
			return 0, 0, err
		}
		if i >= warm {
			costs = append(costs, float64(processCPU()-began)/float64(n))
		}
		i += n
	}
	defer debug.FreeOSMemory() // the next measurement has no use for it
	return median(costs), engine.Stats().StateBytes, nil
}

// judgeLines has events of benchEventBytes each decoded and judged as detect and replay
// do it. The first of them is event number first of its stream.
func judgeLines(decoder *schemas.Decoder, engine *detector.Engine, lines []byte, first int) error {
	var events [detector.Ahead]schemas.Event
	var ahead [detector.Ahead]*schemas.Event
	for len(lines) > 0 {
		n := min(detector.Ahead, len(lines)/benchEventBytes)
		decoder.Begin()
		for j := range n {
			if err := decoder.DecodeNext(lines[j*benchEventBytes:(j+1)*benchEventBytes], &events[j]); err != nil {
				return fmt.Errorf("decoding event %d of the stream: %w", first+j, err)
			}
			ahead[j] = &events[j]
		}
		engine.Foresee(ahead[:n])
		for j := range n {
			if _, bad := engine.Observe(&events[j], detector.Record{Offset: int64(first + j)}); bad != nil {
				return fmt.Errorf("judging event %d of the stream: %w", first+j, bad)
			}
			engine.Take()
		}
		lines, first = lines[n*benchEventBytes:], first+n
	}
	return nil
}

func (b *bench) compile(rules string) (*detector.Program, error) {
	file := filepath.Join(b.dir, "rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		return nil, fmt.Errorf("writing rules: %w", err)
	}
	return detector.Load(file)
}

// memoryCost is what it costs an event, in ns, to wait for the memory of a client whose
// state lies somewhere in so many bytes, which nothing foretells: two cache lines of a
// record, and three more to which the record leads (the end of the log, two of a set).
// They are touched as the engine does it, a batch at a time, and nothing is done with
// them.
func memoryCost(bytes int64, events int) float64 {
	state := make([]uint64, max(bytes/8, 1<<10))
	for i := range state {
		state[i] = scramble(uint64(i))
	}
	lines := uint64(len(state)) / 8
	line := func(x uint64) uint64 { return x % lines * 8 }
	const parts = 10
	part := max(1, events/parts)
	var costs []float64
	var records [detector.Ahead]uint64
	for p := range parts {
		began := processCPU()
		for i := 0; i < part; i += len(records) {
			for j := range records {
				records[j] = scramble(uint64(p*part + i + j))
				state[line(records[j])]++
				state[line(records[j]+1)]++
			}
			for _, r := range records {
				leads := scramble(state[line(r)])
				state[line(leads)]++
				state[line(leads>>20)]++
				state[line(leads>>20+1)]++
			}
		}
		costs = append(costs, float64(processCPU()-began)/float64(part))
	}
	runtime.KeepAlive(state)
	return median(costs)
}

// flatness is how far a line goes from its first point, in percent of that.
func flatness(id, what string, s series) measure {
	worst, first := 0.0, s.Points[0].Y
	for _, p := range s.Points {
		if off := 100 * (p.Y - first) / first; math.Abs(off) > math.Abs(worst) {
			worst = off
		}
	}
	// Cheaper is no miss.
	return atMost(flatWithin, measure{Section: "growth", ID: id, What: what + ": largest change", Value: worst, Unit: "%"})
}

// span names the ends of a line.
func span(s series) string {
	return figure(s.Points[0].X) + " to " + figure(s.Points[len(s.Points)-1].X)
}
