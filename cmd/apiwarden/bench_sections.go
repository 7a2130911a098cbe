package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// benchSection is a part of the benchmark that can be run alone.
type benchSection struct {
	name  string
	short string
	how   string // what exactly is measured, for the page
	kafka bool   // needs a broker
	run   func(b *bench, ctx context.Context) error
}

// benchSections are all sections, in the order in which they run: what others are
// compared with comes first.
func benchSections() []benchSection {
	return []benchSection{
		{
			name: "raw", short: "consuming with a plain client that does nothing: the ceiling", kafka: true, run: (*bench).measureRaw,
			how: `A process of its own polls the topic with franz-go's defaults, in no group, and looks at no record. The topic has 8 partitions of
JSON events of 304 bytes, compressed with lz4 and keyed by client address. The clock runs from its first poll.`,
		},
		{
			name: "detect", short: "detection with one rule and with six, and its ratio to the ceiling", kafka: true, run: (*bench).measureDetect,
			how: `A process of its own runs the role detect on the same topic. The clock runs from the moment its partitions are assigned (the
start of the process is not in it) until everything that came of the last event is acknowledged. Before each pair of
measurements the ceiling is measured again; ratios are to that. One rule: more than 30 in 300 s. Six: volume, burst, 404s,
refused logins, distinct paths, share of errors.`,
		},
		{
			name: "flood", short: "ten clients that flood, against many that do not", kafka: true, run: (*bench).measureFlood,
			how: `The same events at the same pace, once from ten clients, each of which then has 20,000 of its events inside five minutes, and once
from as many clients as above.`,
		},
		{
			name: "memory", short: "resident memory per active address", kafka: true, run: (*bench).measureMemory,
			how: `Resident memory of a detect process after two events of each of many addresses, less that after two events of each of few, by the
difference in addresses. What the engine says it holds is a part of it; the rest is what the garbage collector has not collected.`,
		},
		{
			name: "latency", short: "from produced to verdict acknowledged, up to full load", kafka: true, run: (*bench).measureLatency,
			how: `A generator sends batches that were encoded beforehand, one each millisecond, and does not wait for answers: when a batch is due is
fixed, and latency counts from then, also where the generator itself was late. One event in 50 trips a rule (beside the six); a
subscriber of the verdict topic notes when that verdict comes, which is a little after it was acknowledged. Generator,
broker, detect and subscriber share the machine. Full load is what detect finishes while the generator offers more.`,
		},
		{
			name: "replay", short: "a log file, against one gjson visit of each line", run: (*bench).measureReplay,
			how: `CPU time of whole processes over the same file: replay with six rules, and a program that reads the same lines with the same
buffer and calls gjson.ParseBytes(line).ForEach on each.`,
		},
		{
			name: "growth", short: "cost of an event against addresses, rules and window", run: (*bench).measureGrowth,
			how: `CPU time of decoding and judging in one process, without Kafka: medians over ten parts of the measured events. Waiting for memory is
measured beside it: as many look-ups of a slot and a record of 128 bytes for as many addresses.`,
		},
		{
			name: "store", short: "rows a second into ClickHouse", kafka: true, run: (*bench).measureStore,
			how: `A process of its own runs the role store on the topic, from the assignment of its partitions until all but the
last 70,000 rows, which wait for a full batch, are durable.`,
		},
		{
			name: "peers", short: "Flink and Kafka Streams on the same topic (where --peers finds them)", kafka: true, run: (*bench).measurePeers,
			how: `CPU time is of the peer's whole process and of our whole process, the start of both included; each peer comes right after ours.`,
		},
	}
}

// pickSections gives the named sections, all where there is no name.
func pickSections(names []string) ([]benchSection, error) {
	all := benchSections()
	if len(names) == 0 {
		return all, nil
	}
	known := make([]string, len(all))
	for i, s := range all {
		known[i] = s.name
	}
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		if slices.Contains(known, names[i]) {
			continue
		}
		if near := schemas.Nearest(names[i], known); near != "" {
			return nil, refuse("bench: --only %q is no section (did you mean %s?)", names[i], near)
		}
		return nil, refuse("bench: --only %q is no section; there are %s", names[i], strings.Join(known, ", "))
	}
	return slices.DeleteFunc(all, func(s benchSection) bool { return !slices.Contains(names, s.name) }), nil
}

// benchSectionList is the list of the sections for the help.
func benchSectionList() string {
	var list strings.Builder
	for _, s := range benchSections() {
		fmt.Fprintf(&list, "  %-8s %s\n", s.name, s.short)
	}
	return list.String()
}
