package consumer

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// paceBehind is the age of what store has finished with from which on it is behind:
	// more than the wait for a batch and its insert.
	paceBehind = 5 * time.Second
	// paceEvery is how often store says that it is catching up.
	paceEvery = 5 * time.Second
	// paceStale is after how long without a batch stored the rate counts as nothing.
	paceStale = 15 * time.Second
)

// pace tells how fast store works off what has piled up: in the log every few seconds,
// and in a metric.
type pace struct {
	log  *zap.Logger
	rate *catchUpRate

	began   time.Time // of catching up; zero: not behind
	total   int       // records since then
	said    time.Time
	records int   // since said
	left    int64 // when said
}

// finished takes the number of records of a batch that was stored, and how far the
// partitions are behind now.
func (p *pace) finished(n int, lags map[topicPartition]*lag) {
	now := time.Now()
	var left int64
	age := 0.0
	for _, l := range lags {
		left += l.records()
		age = max(age, l.seconds(now))
	}
	if age < paceBehind.Seconds() {
		if !p.began.IsZero() {
			p.log.Info("store has caught up", zap.Int("records", p.total+n), zap.Duration("took", now.Sub(p.began).Round(time.Millisecond)))
		}
		p.began, p.total = time.Time{}, 0
		p.rate.set(now, 0)
		return
	}
	if p.began.IsZero() {
		p.began, p.said, p.records, p.left = now, now, 0, left
		return
	}
	p.total += n
	p.records += n
	d := now.Sub(p.said)
	if d < paceEvery {
		return
	}
	rate := float64(p.records) / d.Seconds()
	p.rate.set(now, rate)
	fields := []zap.Field{zap.Int64("records_behind", left), zap.Float64("seconds_behind", age), zap.Float64("records_per_second", rate)}
	if fallen := p.left - left; fallen > 0 {
		fields = append(fields, zap.Duration("left", time.Duration(float64(left)/float64(fallen)*float64(d)).Round(time.Second)))
	}
	p.log.Info("store is catching up", fields...)
	p.said, p.records, p.left = now, 0, left
}

// catchUpRate is a rate that the loop sets and a scrape reads.
type catchUpRate struct{ of atomic.Pointer[rateAt] }

type rateAt struct {
	at    time.Time
	value float64
}

func (r *catchUpRate) set(at time.Time, value float64) { r.of.Store(&rateAt{at, value}) }

func (r *catchUpRate) read() float64 {
	if now := r.of.Load(); now != nil && time.Since(now.at) < paceStale {
		return now.value
	}
	return 0
}
