package consumer

import "github.com/prometheus/client_golang/prometheus"

// stateMetrics are the metrics of snapshots and of restoring them.
type stateMetrics struct {
	Snapshots         *prometheus.CounterVec // by kind
	SnapshotPause     prometheus.Histogram
	SnapshotAge       prometheus.Gauge
	SnapshotFailures  prometheus.Counter
	SnapshotsUnusable prometheus.Counter
	StateBytesWritten prometheus.Counter
	RestoreRemaining  prometheus.Gauge
	RestoreLost       prometheus.Counter
}

func newStateMetrics(reg prometheus.Registerer) stateMetrics {
	m := stateMetrics{
		Snapshots: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiwarden_consumer_snapshots_total",
			Help: "Snapshots that the topic state has taken, by kind: of a shard of counts as a whole, of the changes to a whole one, or baselines: of a part of what learned rules know.",
		}, []string{"kind"}),
		SnapshotPause: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "apiwarden_consumer_snapshot_pause_seconds",
			Help:    "How long judging stood still while a shard was copied for its snapshot.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05},
		}),
		SnapshotAge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "apiwarden_consumer_snapshot_age_seconds",
			Help: "Age of the oldest of the newest snapshots, of shards that have changed since. A restart reads the log again from there.",
		}),
		SnapshotFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "apiwarden_consumer_snapshot_failures_total",
			Help: "Snapshots and journals that could not be written. A restart reads more of the log.",
		}),
		SnapshotsUnusable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "apiwarden_consumer_snapshots_unusable_total",
			Help: "Snapshots found unreadable, or of another version, when they were needed. Their shards are counted anew of the log, as far as it reaches.",
		}),
		StateBytesWritten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "apiwarden_consumer_state_written_bytes_total",
			Help: "Bytes written to the topic state, packed.",
		}),
		RestoreRemaining: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "apiwarden_consumer_restore_remaining_records",
			Help: "Records that partitions which are being restored still have to read again before they are live.",
		}),
		RestoreLost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "apiwarden_consumer_restore_lost_records_total",
			Help: "Records that were deleted from the log before a snapshot contained them: counts may be too low.",
		}),
	}
	reg.MustRegister(m.Snapshots, m.SnapshotPause, m.SnapshotAge, m.SnapshotFailures, m.SnapshotsUnusable, m.StateBytesWritten, m.RestoreRemaining, m.RestoreLost)
	for _, kind := range []string{"whole", "changes", "baselines"} {
		m.Snapshots.WithLabelValues(kind)
	}
	return m
}
