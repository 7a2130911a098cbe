package consumer

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// learner is what Stats keeps of a partition of the topic endpoint_stats. The poll loop
// alone uses it.
type learner struct {
	tp        topicPartition
	baselines *detector.Baselines
	program   *detector.Program // it was made with
	grace     *grace
	lag       *lag
	rotation  *rotation
	topicID   [16]byte

	next      int64             // the first offset that is not merged
	end       int64             // of the topic, as far as that is known
	committed int64             // verdicts of what lies before it are acknowledged: they are not said again
	heard     time.Time         // the time of the last record
	last      *kgo.Record       // that was merged since the last mark; nil: none
	closed    int64             // buckets that end then or before are judged; s since the epoch
	verdicts  []schemas.Verdict // that are not acknowledged
	shown     detector.BaselinesStats
}

// take merges records. Verdicts of what was committed before we came are acknowledged.
func (l *learner) take(reader *summaryReader, records []*kgo.Record) {
	for _, r := range records {
		reader.merge(l, r)
		if r.Timestamp.After(l.heard) {
			l.heard = r.Timestamp
		}
		muted := l.next < l.committed
		l.next, l.last = r.Offset+1, r
		if muted && l.next >= l.committed {
			l.close(l.heard)
			l.baselines.Take()
		}
	}
}

// judge judges the buckets that can be judged. While there are records to read, it is as
// late as they say it was: what has waited for us has not waited for anybody else.
func (l *learner) judge(m *Metrics, now time.Time) {
	at := l.heard
	if l.next >= l.end {
		at = now
	}
	if l.close(at) {
		m.learned(l, l.baselines.Stats())
		if l.next >= l.committed {
			m.StatsCloseDelay.Observe(max(0, now.Sub(time.Unix(l.closed, 0)).Seconds()))
		}
	}
	verdicts := l.baselines.Take()
	if l.next < l.committed {
		return
	}
	for _, v := range verdicts {
		v.DetectedAt = schemas.Micros(now.UnixMicro())
		l.verdicts = append(l.verdicts, v)
	}
}

// hurry judges buckets before they have waited for long enough, because there is no room
// for more of them: the oldest eighth, or where nothing but partitions are missing from which
// nobody has ever heard, all that the others have closed. It reports whether there were any.
func (l *learner) hurry() bool {
	oldest := max(l.closed, l.baselines.Oldest())
	eighth := (l.baselines.Newest() - oldest) / 8 / schemas.SummarySeconds * schemas.SummarySeconds
	return l.closeUntil(max(l.grace.heard(), oldest+max(schemas.SummarySeconds, eighth)))
}

// close judges the buckets that are complete at an instant, or have waited for long
// enough, and reports whether there were any.
func (l *learner) close(at time.Time) bool {
	return l.closeUntil(max(l.baselines.Complete(), l.grace.until(at)))
}

func (l *learner) closeUntil(until int64) bool {
	if until <= l.closed {
		return false
	}
	l.closed = until
	l.baselines.Close(until, nil)
	return true
}

// futureMark is how far the times of summaries may be ahead of their records: more
// than clocks differ. Who believed others would judge no bucket again before that time.
const futureMark = time.Hour

var errFuture = errors.New("it speaks of a time that is far ahead of its record's")

// summaryReader merges the records of the topic endpoint_stats. Anybody may write to it.
type summaryReader struct {
	logs    string // the topic that is summarized
	metrics *Metrics
	log     *zap.Logger
	say     sink.Seldom
	summary schemas.Summary
	mark    schemas.SummaryMark
}

// What becomes of a record of the topic endpoint_stats, in metrics.
const (
	readMerged     = "merged"
	readRepeated   = "repeated"
	readLate       = "late"
	readNoView     = "no_view"
	readNoRoom     = "no_room"
	readMark       = "mark"
	readOther      = "other" // of another version, or another log
	readUnreadable = "unreadable"
)

func (s *summaryReader) merge(l *learner, r *kgo.Record) {
	outcome, err := s.outcome(l, r)
	s.metrics.StatsRead.WithLabelValues(outcome).Inc()
	if err != nil && s.say.Due() {
		s.log.Warn("a record of the topic of summaries cannot be used and is skipped", zap.String("topic", r.Topic), zap.Int32("partition", r.Partition), zap.Int64("offset", r.Offset), zap.Error(err))
	}
}

func (s *summaryReader) outcome(l *learner, r *kgo.Record) (string, error) {
	latest := r.Timestamp.Add(futureMark).Unix()
	if r.Key == nil {
		m := &s.mark
		if err := schemas.DecodeSummaryMark(r.Value, m); err != nil {
			return readUnreadable, err
		}
		switch {
		case m.Version != schemas.SummaryVersion || m.Topic != s.logs:
			return readOther, nil
		case m.Closed > latest:
			return readUnreadable, errFuture
		}
		l.baselines.Mark(m)
		l.grace.mark(m, r.Timestamp)
		return readMark, nil
	}
	if err := schemas.DecodeSummary(r.Value, &s.summary); err != nil {
		return readUnreadable, err
	}
	switch {
	case s.summary.Version != schemas.SummaryVersion || s.summary.Topic != s.logs:
		return readOther, nil
	case s.summary.Start > latest:
		return readUnreadable, errFuture
	}
	merged := l.baselines.Merge(&s.summary)
	if merged == detector.NoRoom && l.hurry() {
		merged = l.baselines.Merge(&s.summary)
	}
	switch merged {
	case detector.Merged:
		return readMerged, nil
	case detector.Repeated:
		return readRepeated, nil
	case detector.TooLate:
		return readLate, nil
	case detector.NoRoom:
		return readNoRoom, nil
	default:
		return readNoView, nil
	}
}
