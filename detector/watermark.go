package detector

import (
	"fmt"

	"github.com/apiwarden/apiwarden/schemas"
)

// clock is the event time of one partition.
type clock struct {
	newest   int64 // the newest event time, no newer than its record's timestamp; µs
	started  bool  // an event has set newest
	lateness int64
	maxSkew  int64
	file     bool
}

// fileSkew is how far ahead of the newest accepted event one may be in a file, where
// there is no record timestamp to compare with: a year. Gaps of days are legal.
const fileSkew = int64(365*24*3600) * 1e6

// admit gives the time of an event and moves the clock, or says that the event is
// too far ahead to be true.
func (c *clock) admit(ev *schemas.Event, recordTime int64) (int64, *schemas.BadRecord) {
	if c.file {
		return c.admitFile(ev)
	}
	t := recordTime
	if ev.HasTime {
		t = ev.Time
	}
	if t > recordTime+c.maxSkew {
		return 0, &schemas.BadRecord{Reason: schemas.ReasonFuture, Detail: fmt.Sprintf(
			"event time %v is %v ahead of the record's timestamp %v", schemas.Micros(t), micros(t-recordTime), schemas.Micros(recordTime))}
	}
	c.move(min(t, recordTime))
	return t, nil
}

func (c *clock) admitFile(ev *schemas.Event) (int64, *schemas.BadRecord) {
	if !ev.HasTime {
		return c.newest, nil
	}
	if c.started && ev.Time > c.newest+fileSkew {
		return 0, &schemas.BadRecord{Reason: schemas.ReasonFuture, Detail: fmt.Sprintf(
			"event time %v is more than a year ahead of the newest event's, %v", schemas.Micros(ev.Time), schemas.Micros(c.newest))}
	}
	c.move(ev.Time)
	return ev.Time, nil
}

func (c *clock) move(t int64) {
	if !c.started || t > c.newest {
		c.newest, c.started = t, true
	}
}

// watermark is the oldest event time that still counts.
func (c *clock) watermark() int64 { return c.newest - c.lateness }
