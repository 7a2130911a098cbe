package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/apiwarden/apiwarden/consumer"
	"github.com/apiwarden/apiwarden/sink"
)

// metricSets are the metrics of every package that has some. One of a process.
type metricSets struct {
	consumer *consumer.Metrics
	sink     *sink.Metrics
	reload   *reloadMetrics
}

// registerMetrics makes all metrics of ours.
func registerMetrics(reg prometheus.Registerer) metricSets {
	return metricSets{consumer: consumer.NewMetrics(reg), sink: sink.NewMetrics(reg), reload: newReloadMetrics(reg)}
}
