package sink

import "github.com/prometheus/client_golang/prometheus"

// kafkaMetrics are the metrics of what is written to Kafka.
type kafkaMetrics struct {
	Acknowledged prometheus.Histogram
	BanEntries   prometheus.Gauge
	BanWrites    *prometheus.CounterVec

	ControlRecords *prometheus.CounterVec
}

// Values of the label outcome of ControlRecords.
const (
	controlTaken      = "taken"
	controlUnreadable = "unreadable"
)

// What a write to the ban topic was for; values of the label write.
const (
	writeChange = "change" // a decision
	writeEnd    = "end"    // a tombstone
	writeRepair = "repair" // somebody else's write overwrote or weakened what is enforced
)

func newKafkaMetrics(reg prometheus.Registerer) kafkaMetrics {
	m := kafkaMetrics{
		Acknowledged: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "apiwarden_sink_acknowledged_seconds",
			Help:    "Time from handing verdicts and dead letters to Kafka until all of them are acknowledged by all in-sync replicas.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}),
		BanEntries: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "apiwarden_sink_ban_entries",
			Help: "Bans and throttles that the ban topic holds at the moment, as this process has read them.",
		}),
		BanWrites: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiwarden_sink_ban_writes_total",
			Help: "Records written to the ban topic: change (a decision, of a rule or by hand), end (a tombstone), repair (another writer's record differed from what is enforced).",
		}, []string{"write"}),
		ControlRecords: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiwarden_sink_control_records_total",
			Help: "Records of the control topic that detect has read, by outcome: taken, or unreadable (they change nothing; the log says why).",
		}, []string{"outcome"}),
	}
	reg.MustRegister(m.Acknowledged, m.BanEntries, m.BanWrites, m.ControlRecords)
	for _, w := range []string{writeChange, writeEnd, writeRepair} {
		m.BanWrites.WithLabelValues(w)
	}
	for _, o := range []string{controlTaken, controlUnreadable} {
		m.ControlRecords.WithLabelValues(o)
	}
	return m
}
