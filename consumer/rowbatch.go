package consumer

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// A batch of rows is due when it has so many rows, when they take so much memory, or when the
// first has waited for so long. Store has two of them at most.
const (
	storeRows  = 50_000
	storeBytes = 32 << 20
	storeWait  = time.Second
)

// rowBatch is rows on their way to ClickHouse, and the records that they are made of.
type rowBatch struct {
	events   *sink.EventBatch
	eventsOf []*kgo.Record // by row
	verdicts []schemas.Verdict
	ofRecord []*kgo.Record // of verdicts, by index
	controls []sink.ControlRecord
	saidOn   []*kgo.Record // of controls, by index
	last     map[topicPartition]*kgo.Record
	counts   map[string]int // records, by topic
	bytes    int            // of the records that are held for their rows
	since    time.Time      // the first of them was taken
}

func newRowBatch(ch *sink.ClickHouse) *rowBatch {
	return &rowBatch{events: ch.NewEventBatch(), last: make(map[topicPartition]*kgo.Record), counts: make(map[string]int)}
}

// event adds the row of an event, whose bytes it copies.
func (b *rowBatch) event(ev *schemas.Event, r *kgo.Record, subject, endpoint []byte) {
	at := schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	b.events.Add(ev, at, r.Timestamp.UnixMicro(), subject, endpoint)
	b.eventsOf = append(b.eventsOf, r)
	b.bytes += len(r.Value)
}

// verdict adds the row of a verdict.
func (b *rowBatch) verdict(v schemas.Verdict, r *kgo.Record) {
	b.verdicts = append(b.verdicts, v)
	b.ofRecord = append(b.ofRecord, r)
	b.bytes += 2 * len(r.Value)
}

// control adds the row of a manual change.
func (b *rowBatch) control(c sink.ControlRecord, r *kgo.Record) {
	b.controls = append(b.controls, c)
	b.saidOn = append(b.saidOn, r)
	b.bytes += 2 * len(r.Value)
}

// took notes which records have been made rows of, or been skipped.
func (b *rowBatch) took(tp topicPartition, records []*kgo.Record) {
	if b.empty() {
		b.since = time.Now()
	}
	b.last[tp] = records[len(records)-1]
	b.counts[tp.topic] += len(records)
}

// empty: there is nothing that could be marked.
func (b *rowBatch) empty() bool { return len(b.last) == 0 }

func (b *rowBatch) full() bool {
	return b.events.Len()+len(b.verdicts)+len(b.controls) >= storeRows || b.events.Bytes()+b.bytes >= storeBytes
}

func (b *rowBatch) due() bool {
	return !b.empty() && (b.full() || time.Since(b.since) >= storeWait)
}

// reset empties b and keeps its memory.
func (b *rowBatch) reset() {
	b.events.Reset()
	clear(b.eventsOf)
	clear(b.verdicts)
	clear(b.ofRecord)
	clear(b.controls)
	clear(b.saidOn)
	clear(b.last)
	clear(b.counts)
	b.eventsOf, b.verdicts, b.ofRecord = b.eventsOf[:0], b.verdicts[:0], b.ofRecord[:0]
	b.controls, b.saidOn, b.bytes = b.controls[:0], b.saidOn[:0], 0
}
