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
	kafka bool // needs a broker
	run   func(b *bench, ctx context.Context) error
}

// benchSections are all sections, in the order in which they run: what others are
// compared with comes first.
func benchSections() []benchSection {
	return []benchSection{
		{"raw", "consuming with a plain client that does nothing: the ceiling", true, (*bench).measureRaw},
		{"detect", "detection with one rule and with six, and its ratio to the ceiling", true, (*bench).measureDetect},
		{"flood", "ten clients that flood, against many that do not", true, (*bench).measureFlood},
		{"memory", "resident memory per active address", true, (*bench).measureMemory},
		{"latency", "from produced to verdict acknowledged, up to full load", true, (*bench).measureLatency},
		{"replay", "a log file, against one gjson visit of each line", false, (*bench).measureReplay},
		{"growth", "cost of an event against addresses, rules and window", false, (*bench).measureGrowth},
		{"store", "rows a second into ClickHouse", true, (*bench).measureStore},
		{"peers", "Flink and Kafka Streams on the same topic (where --peers finds them)", true, (*bench).measurePeers},
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
