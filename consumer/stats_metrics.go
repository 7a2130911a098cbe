package consumer

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/apiwarden/apiwarden/detector"
)

// statsMetrics are the metrics of what is learned of endpoints.
type statsMetrics struct {
	StatsRead       *prometheus.CounterVec // by outcome
	StatsLag        *lagCollector
	StatsCloseDelay prometheus.Histogram
	Endpoints       prometheus.Gauge
	Pooled          prometheus.Gauge
	Episodes        prometheus.Gauge
	BaselineBytes   prometheus.Gauge
}

func newStatsMetrics(reg prometheus.Registerer) statsMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := statsMetrics{
		StatsRead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiwarden_consumer_stats_records_total",
			Help: "Records of the topic endpoint_stats that learned rules have read, by outcome: merged, repeated (known already), late (their bucket had been judged without them), no_view (no rule looks at them), no_room (state.max_baseline_bytes), mark, other (of another version, or another log), unreadable.",
		}, []string{"outcome"}),
		StatsLag: newLagCollector("apiwarden_consumer_stats_lag_records", "Records of the partition of the topic endpoint_stats that learned rules have not finished with.",
			"apiwarden_consumer_stats_lag_seconds", "Age of the newest record that learned rules have finished with, while they are behind; 0 when they are not."),
		StatsCloseDelay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "apiwarden_consumer_stats_close_delay_seconds",
			Help:    "Time from the end of a bucket of ten seconds until learned rules have judged it, which is no sooner than lateness allows. Old logs give long ones.",
			Buckets: []float64{10, 20, 30, 40, 50, 60, 90, 120, 300, 600, 3600, 86400},
		}),
		Endpoints:     gauge("apiwarden_detector_learned_endpoints", "Endpoints, as the views of learned rules tell them apart, of which something is learned."),
		Pooled:        gauge("apiwarden_detector_pooled_endpoints", "Endpoints that share a baseline, being rare or beyond state.max_baseline_bytes."),
		Episodes:      gauge("apiwarden_detector_open_episodes", "Episodes of learned rules that are open."),
		BaselineBytes: gauge("apiwarden_detector_baseline_bytes", "Memory held for what learned rules know."),
	}
	reg.MustRegister(m.StatsRead, m.StatsLag, m.StatsCloseDelay, m.Endpoints, m.Pooled, m.Episodes, m.BaselineBytes)
	for _, outcome := range []string{readMerged, readRepeated, readLate, readNoView, readNoRoom, readMark, readOther, readUnreadable} {
		m.StatsRead.WithLabelValues(outcome)
	}
	return m
}

// learned brings the gauges in line with what the baselines of a partition say of
// themselves.
func (m *Metrics) learned(l *learner, now detector.BaselinesStats) {
	was := l.shown
	m.Endpoints.Add(float64(now.Endpoints - was.Endpoints))
	m.Pooled.Add(float64(now.Pooled - was.Pooled))
	m.Episodes.Add(float64(now.Open - was.Open))
	m.BaselineBytes.Add(float64(now.StateBytes - was.StateBytes))
	l.shown = now
}
