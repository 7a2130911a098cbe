package consumer

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// Metrics are the metrics of what is consumed and of what is decided. One of a
// process, shared by detect, store and rekey.
type Metrics struct {
	Records     *prometheus.CounterVec // by topic
	DeadLetters *prometheus.CounterVec // by reason
	Miskeyed    prometheus.Counter
	Restore     prometheus.Gauge
	DataLoss    prometheus.Counter
	Summaries   prometheus.Counter
	Lag         *lagCollector

	StoreRecords *prometheus.CounterVec // by topic
	StoreSkipped prometheus.Counter
	StoreLag     *lagCollector
	StoreCatchUp *catchUpRate

	Rekeyed     prometheus.Counter
	RekeyCopies prometheus.Counter
	RekeyAborts prometheus.Counter
	RekeyLag    *lagCollector

	stateMetrics
	statsMetrics

	Verdicts      *prometheus.CounterVec // by rule and action
	VerdictAge    prometheus.Histogram
	Subjects      prometheus.Gauge
	StateBytes    prometheus.Gauge
	Evicted       prometheus.Counter
	Late          prometheus.Counter
	NotEvaluated  prometheus.Counter
	Unreadable    prometheus.Counter
	IgnoredClaims prometheus.Counter
	Outcomes      *prometheus.CounterVec // by outcome
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &Metrics{
		Records:      counters("apiwarden_consumer_records_total", "Records that detect has read and finished with: judged or dead-lettered, and everything that followed acknowledged.", "topic"),
		DeadLetters:  counters("apiwarden_consumer_dead_letters_total", "Records that cannot be used and went to the topic dlq, by reason.", "reason"),
		Miskeyed:     counter("apiwarden_consumer_miskeyed_records_total", "Records whose key is not their canonical subject. The counts of such a subject may be split over partitions: rules can miss it."),
		Restore:      gauge("apiwarden_consumer_restore_seconds", "How long the partition that was restored last took, from its assignment to being live."),
		DataLoss:     counter("apiwarden_consumer_data_loss_total", "Times the brokers had lost records that were consumed or were to be."),
		Summaries:    counter("apiwarden_consumer_summaries_total", "Summaries of an endpoint's bucket in a partition that were written to the topic endpoint_stats."),
		stateMetrics: newStateMetrics(reg),
		statsMetrics: newStatsMetrics(reg),
		Lag: newLagCollector("apiwarden_consumer_lag_records", "Records of the partition that detect has not finished with.",
			"apiwarden_consumer_lag_seconds", "Age of the newest record that detect has finished with, while it is behind; 0 when it is not."),

		StoreRecords: counters("apiwarden_consumer_store_records_total", "Records that store has read and finished with: in ClickHouse, skipped or dead-lettered.", "topic"),
		StoreSkipped: counter("apiwarden_consumer_store_skipped_total", "Records that store left out because they cannot be used; detect dead-letters them."),
		StoreLag: newLagCollector("apiwarden_consumer_store_lag_records", "Records of the partition that store has not finished with.",
			"apiwarden_consumer_store_lag_seconds", "Age of the newest record that store has finished with, while it is behind; 0 when it is not."),
		StoreCatchUp: new(catchUpRate),

		Rekeyed:     counter("apiwarden_consumer_rekeyed_records_total", "Records of the logs that input.rekey has read and finished with: their copies and offsets are committed."),
		RekeyCopies: counter("apiwarden_consumer_rekey_copies_total", "Copies that input.rekey has written to the topic events: one a record, and one for each rule key that its event has."),
		RekeyAborts: counter("apiwarden_consumer_rekey_aborts_total", "Transactions of input.rekey that were aborted because the group rebalanced, and done again."),
		RekeyLag: newLagCollector("apiwarden_consumer_rekey_lag_records", "Records of the partition that input.rekey has not finished with.",
			"apiwarden_consumer_rekey_lag_seconds", "Age of the newest record that input.rekey has finished with, while it is behind; 0 when it is not."),

		Verdicts: counters("apiwarden_detector_verdicts_total", "Verdicts that are acknowledged, by rule and by the action the rule asks for.", "rule", "action"),
		VerdictAge: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "apiwarden_detector_verdict_age_seconds",
			Help:    "Time from the event that tripped a rule to the acknowledged verdict. Old logs give old verdicts.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400},
		}),
		Subjects:      gauge("apiwarden_detector_subjects", "Subjects (and groups of rules with group_by) that have counts in memory."),
		StateBytes:    gauge("apiwarden_detector_state_bytes", "Memory held for counts."),
		Evicted:       counter("apiwarden_detector_evicted_total", "Counts dropped to stay under state.max_bytes while they still mattered; always 0 in this version, which does not bound them."),
		Late:          counter("apiwarden_detector_late_events_total", "Events too late to be counted."),
		NotEvaluated:  counter("apiwarden_detector_not_evaluated_total", "Events that a body pattern could not see because they have no body, by rule and event."),
		Unreadable:    counter("apiwarden_detector_unreadable_bodies_total", "Bodies that are cut or no JSON where a pattern wanted JSON, by rule and event."),
		IgnoredClaims: counter("apiwarden_detector_ignored_claims_total", "Events whose peer is no trusted proxy and claimed to speak for somebody else."),
		Outcomes:      counters("apiwarden_detector_events_total", "Events judged, by outcome: counted, late, exempt, blocked, banned.", "outcome"),
	}
	catchUp := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "apiwarden_consumer_store_catchup_records_per_second",
		Help: "Records a second that store finishes with while it is behind; 0 where it is not, or where nothing is stored.",
	}, m.StoreCatchUp.read)
	reg.MustRegister(catchUp, m.Records, m.DeadLetters, m.Miskeyed, m.Restore, m.DataLoss, m.Summaries, m.Lag, m.StoreRecords, m.StoreSkipped, m.StoreLag,
		m.Rekeyed, m.RekeyCopies, m.RekeyAborts, m.RekeyLag,
		m.Verdicts, m.VerdictAge, m.Subjects, m.StateBytes, m.Evicted, m.Late, m.NotEvaluated, m.Unreadable, m.IgnoredClaims, m.Outcomes)
	for _, r := range []schemas.Reason{
		schemas.ReasonJSON, schemas.ReasonUTF8, schemas.ReasonClientIP, schemas.ReasonMethod, schemas.ReasonPath, schemas.ReasonStatus,
		schemas.ReasonTimestamp, schemas.ReasonFuture, schemas.ReasonTooLarge, schemas.ReasonLate, schemas.ReasonClickHouse,
	} {
		m.DeadLetters.WithLabelValues(string(r))
	}
	for _, name := range outcomes {
		m.Outcomes.WithLabelValues(name)
	}
	return m
}

// again takes note of what an engine counts of records that it reads again, and that
// were counted when they were read first.
func (m *Metrics) again(p *partition, now detector.Stats) {
	now.Subjects, now.StateBytes = p.stats.Subjects, p.stats.StateBytes
	p.stats = now
}

// engine brings the metrics in line with what an engine says of itself. Gauges take
// the difference to what it said before, counters what was added.
func (m *Metrics) engine(p *partition, now detector.Stats) {
	was := p.stats
	m.Subjects.Add(float64(now.Subjects - was.Subjects))
	m.StateBytes.Add(float64(now.StateBytes - was.StateBytes))
	for _, c := range []struct {
		counter  prometheus.Counter
		now, was uint64
	}{
		{m.Late, now.LateEvents, was.LateEvents},
		{m.NotEvaluated, now.NotEvaluated, was.NotEvaluated},
		{m.Unreadable, now.Unreadable, was.Unreadable},
		{m.IgnoredClaims, now.IgnoredClaims, was.IgnoredClaims},
		{m.Evicted, now.Evicted, was.Evicted},
	} {
		if c.now > c.was {
			c.counter.Add(float64(c.now - c.was))
		}
	}
	p.stats = now
}
