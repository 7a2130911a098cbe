package sink

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the metrics of what is delivered. One of a process.
type Metrics struct {
	Rows    *prometheus.CounterVec // by table
	Retries *prometheus.CounterVec // by sink: kafka, clickhouse

	kafkaMetrics
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		Rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiwarden_sink_rows_total",
			Help: "Rows that ClickHouse has taken. A row sent again after a lost answer counts once.",
		}, []string{"table"}),
		Retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiwarden_sink_retries_total",
			Help: "Writes tried again after a failure that may pass, by sink (clickhouse: batches, kafka: records).",
		}, []string{"sink"}),
		kafkaMetrics: newKafkaMetrics(reg),
	}
	reg.MustRegister(m.Rows, m.Retries)
	for _, table := range []string{"events", "verdicts", "controls"} {
		m.Rows.WithLabelValues(table)
	}
	for _, sink := range []string{"clickhouse", "kafka"} {
		m.Retries.WithLabelValues(sink)
	}
	return m
}
