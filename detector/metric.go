package detector

import "github.com/apiwarden/apiwarden/schemas"

// Metric is what an outlier rule adds up for each client, by the hour, or the size that a
// size rule judges.
type Metric string

// All metrics.
const (
	MetricRequests      Metric = "requests"
	MetricErrors        Metric = "errors"         // answers with status 400 and above
	MetricDistinctPaths Metric = "distinct_paths" // estimated
	MetricCost          Metric = "cost"           // the sum of latency_ms, in ms

	MetricRequest  Metric = "request"  // request_bytes
	MetricQuery    Metric = "query"    // the length of the query string
	MetricResponse Metric = "response" // response_bytes
)

// metricTraits tells the metrics apart. Totals are kept in whole parts of a unit, so
// that a sum does not depend on the order of its parts.
type metricTraits struct {
	metric Metric
	parts  float64 // of a unit
	floor  float64 // units: what a client may have however little its peers have
	verb   string  // in sentences: 203.0.113.7 made 4120
	of     string  // after the number, before the endpoint
}

// metrics has one line per metric of outlier rules, in the order of the reference page.
var metrics = []metricTraits{
	{metric: MetricRequests, parts: 1, floor: 50, verb: "made", of: " requests of "},
	{metric: MetricErrors, parts: 1, floor: 20, verb: "got", of: " errors from "},
	{metric: MetricDistinctPaths, parts: 1 << 10, floor: 30, verb: "asked for", of: " different paths of "},
	{metric: MetricCost, parts: 1e3, floor: 60e3, verb: "took up", of: " of "},
}

// metricNames are those that rules of a type can have, the one that they have by default
// in front.
func metricNames(t Type) (names []string) {
	switch t {
	case TypeOutlier:
		for i := range metrics {
			names = append(names, string(metrics[i].metric))
		}
	case TypeSize:
		for k := range schemas.SizeKinds {
			names = append(names, k.String())
		}
	}
	return names
}

// sizeKind gives the size that a metric is, false where it is none.
func (m Metric) sizeKind() (schemas.SizeKind, bool) {
	for k := range schemas.SizeKinds {
		if k.String() == string(m) {
			return k, true
		}
	}
	return 0, false
}

// traits gives the metric's line, that of requests for one that is unknown.
func (m Metric) traits() *metricTraits {
	for i := range metrics {
		if metrics[i].metric == m {
			return &metrics[i]
		}
	}
	return &metrics[0]
}

// measure gives what an event adds to its client's total, in parts; for distinct paths
// a hash of the path. False: the event lacks what is measured.
func (m Metric) measure(ev *schemas.Event) (uint64, bool) {
	switch m {
	case MetricErrors:
		if ev.Status < 400 {
			return 0, true
		}
	case MetricDistinctPaths:
		return pathHash(ev.Path), true
	case MetricCost:
		if ev.LatencyMS == nil {
			return 0, false
		}
		ms, ok := schemas.Float(ev.LatencyMS)
		if !ok || !(ms >= 0) {
			return 0, false
		}
		return uint64(min(ms*1e3, float64(peerTotalMask))), true
	}
	return 1, true
}
