package sink

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the metrics of what is delivered. One of a process.
type Metrics struct {
	Rows    *prometheus.CounterVec // by table
	Retries *prometheus.CounterVec // by sink: kafka, clickhouse

	Refusals *prometheus.CounterVec // of ClickHouse, by cause
	Waiting  *Waiting               // for ClickHouse

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
		Refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiwarden_sink_clickhouse_refusals_total",
			Help: "Attempts that ClickHouse has not done and that are made again, by cause: unreachable and busy pass by themselves, read_only may; rights, disk, table, schema and configuration need somebody.",
		}, []string{"cause"}),
		Waiting:      new(Waiting),
		kafkaMetrics: newKafkaMetrics(reg),
	}
	waits := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "apiwarden_sink_clickhouse_waiting_seconds",
		Help: "For how long ClickHouse has been asked in vain; 0: it does what it is asked for. Meanwhile rows wait in Kafka.",
	}, func() float64 {
		d, _ := m.Waiting.Longest()
		return d.Seconds()
	})
	reg.MustRegister(m.Rows, m.Retries, m.Refusals, waits)
	for _, cause := range refusalCauses() {
		m.Refusals.WithLabelValues(cause)
	}
	for _, table := range []string{"events", "verdicts", "controls"} {
		m.Rows.WithLabelValues(table)
	}
	for _, sink := range []string{"clickhouse", "kafka"} {
		m.Retries.WithLabelValues(sink)
	}
	return m
}
