package consumer

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lag is how far behind a partition is. The loop writes it, a scrape reads it.
type lag struct {
	high  atomic.Int64 // the log's end, as the last fetch knew it
	next  atomic.Int64 // the first offset that is not finished
	stamp atomic.Int64 // timestamp of the oldest record known not to be finished, or of the last finished, µs
}

// polled takes what a fetch says, before its records are judged.
func (l *lag) polled(high int64, first *kgo.Record) {
	l.next.Store(first.Offset)
	l.stamp.Store(first.Timestamp.UnixMicro())
	l.high.Store(high)
}

// finished says that everything up to last is done with.
func (l *lag) finished(last *kgo.Record) {
	l.stamp.Store(last.Timestamp.UnixMicro())
	l.next.Store(last.Offset + 1)
}

// records is the number of records that are not finished.
func (l *lag) records() int64 { return max(0, l.high.Load()-l.next.Load()) }

func (l *lag) seconds(now time.Time) float64 {
	stamp := l.stamp.Load()
	if stamp == 0 || l.records() == 0 {
		return 0
	}
	return max(0, now.Sub(time.UnixMicro(stamp)).Seconds())
}

// lagCollector computes lag when it is asked for, so that it rises while the loop
// waits for a broker.
type lagCollector struct {
	recordsDesc, secondsDesc *prometheus.Desc

	mu         sync.Mutex
	partitions map[topicPartition]*lag
}

type topicPartition struct {
	topic     string
	partition int32
}

func newLagCollector(records, recordsHelp, seconds, secondsHelp string) *lagCollector {
	labels := []string{"topic", "partition"}
	return &lagCollector{
		recordsDesc: prometheus.NewDesc(records, recordsHelp, labels, nil),
		secondsDesc: prometheus.NewDesc(seconds, secondsHelp, labels, nil),
		partitions:  make(map[topicPartition]*lag),
	}
}

func (c *lagCollector) add(tp topicPartition) *lag {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := new(lag)
	c.partitions[tp] = l
	return l
}

func (c *lagCollector) remove(tp topicPartition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.partitions, tp)
}

// Describe implements prometheus.Collector.
func (c *lagCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.recordsDesc
	out <- c.secondsDesc
}

// Collect implements prometheus.Collector.
func (c *lagCollector) Collect(out chan<- prometheus.Metric) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for tp, l := range c.partitions {
		p := strconv.Itoa(int(tp.partition))
		out <- prometheus.MustNewConstMetric(c.recordsDesc, prometheus.GaugeValue, float64(l.records()), tp.topic, p)
		out <- prometheus.MustNewConstMetric(c.secondsDesc, prometheus.GaugeValue, l.seconds(now), tp.topic, p)
	}
}
