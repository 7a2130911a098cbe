package main

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metricsReference describes every metric that our packages register.
func metricsReference() string {
	var b bytes.Buffer
	b.WriteString(generatedNote + `# Metrics

Served on ` + "`/metrics`" + ` of every role, beside those of the Go runtime and the process (` + "`go_*`, `process_*`" + `).

| metric | kind | labels | meaning |
|---|---|---|---|
`)
	all := &describingRegisterer{}
	registerMetrics(all)
	slices.SortFunc(all.metrics, func(a, b metric) int { return cmp.Compare(a.name, b.name) })
	for _, m := range all.metrics {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, code(m.labels), tableCell(m.help))
	}
	return b.String()
}

// metric is one line of the page.
type metric struct{ name, kind, labels, help string }

// describingRegisterer is a prometheus.Registerer that only notes what is
// registered.
type describingRegisterer struct{ metrics []metric }

func (d *describingRegisterer) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	for desc := range descs {
		d.metrics = append(d.metrics, describe(c, desc))
	}
	return nil
}

func (d *describingRegisterer) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		_ = d.Register(c) // never refuses
	}
}

func (d *describingRegisterer) Unregister(prometheus.Collector) bool { return false }

// describe reads what a description says. Its text is the only way to it that the
// client library offers.
func describe(c prometheus.Collector, desc *prometheus.Desc) metric {
	part := regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "((?:[^"\\]|\\.)*)", .*variableLabels: \{([^}]*)\}\}$`).FindStringSubmatch(desc.String())
	if part == nil {
		panic("prometheus describes a metric in a form that is not known: " + desc.String())
	}
	m := metric{name: part[1], help: strings.ReplaceAll(part[2], `\"`, `"`), labels: strings.ReplaceAll(part[3], ",", ", ")}
	switch c.(type) {
	case *prometheus.CounterVec:
		m.kind = "counter"
	case *prometheus.HistogramVec:
		m.kind = "histogram"
	case *prometheus.GaugeVec, prometheus.Gauge: // a gauge fulfils the interface of a counter too, so it stands first
		m.kind = "gauge"
	case prometheus.Counter:
		m.kind = "counter"
	case prometheus.Histogram:
		m.kind = "histogram"
	default:
		m.kind = "gauge"
		if strings.HasSuffix(m.name, "_total") {
			m.kind = "counter"
		}
	}
	return m
}
