package sink

import (
	"net/netip"
	"time"
	"unsafe"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/apiwarden/apiwarden/schemas"
)

// EventBatch holds rows of the events table on their way to ClickHouse, already
// redacted. It owns its bytes: what Add is given can be reused at once. A row costs
// no allocation once the batch has grown. For one goroutine at a time.
type EventBatch struct {
	redact *redaction
	hash   *keyedHash // nil where nothing is hashed

	addr        []byte // scratch
	texts       []byte // all texts of all rows, row by row, in the order of textColumns
	ends        []int  // where each text ends in texts
	numbers     [eventNumbers][]number
	times       []int64 // µs
	statuses    []uint16
	blocked     []bool
	partitions  []int32
	offsets     []int64
	recordTimes []int64 // µs
}

// number is a value of a column that may be null.
type number struct {
	float float64
	whole int64
	there bool
}

// Len is the number of rows.
func (b *EventBatch) Len() int { return len(b.statuses) }

// Bytes is about how much memory the rows take.
func (b *EventBatch) Bytes() int {
	const rest = eventTexts*8 + eventNumbers*24 + 40
	return len(b.texts) + rest*b.Len()
}

// Reset takes all rows out and keeps the memory for the next.
func (b *EventBatch) Reset() {
	b.texts, b.ends = b.texts[:0], b.ends[:0]
	for i := range b.numbers {
		b.numbers[i] = b.numbers[i][:0]
	}
	b.times, b.statuses, b.blocked = b.times[:0], b.statuses[:0], b.blocked[:0]
	b.partitions, b.offsets, b.recordTimes = b.partitions[:0], b.offsets[:0], b.recordTimes[:0]
}

// Add appends the row of an event: where its record stands, the record's timestamp
// (µs, the event's time where it has none itself), whom it counts for and its
// endpoint key.
func (b *EventBatch) Add(ev *schemas.Event, at schemas.Position, recordTime int64, subject, endpoint []byte) {
	b.text(textClientIP, b.address(ev.ClientIP))
	b.text(textMethod, ev.Method)
	b.text(textPath, ev.Path)
	b.text(textQuery, ev.Query)
	b.text(textRoute, ev.Route)
	b.text(textService, ev.Service)
	b.text(textHost, ev.Host)
	b.text(textUserAgent, ev.UserAgent)
	b.text(textUserID, ev.UserID)
	b.text(textAPIKeyID, ev.APIKeyID)
	b.text(textReferer, ev.Referer)
	b.text(textPeerIP, b.address(ev.PeerIP))
	b.text(textXForwardedFor, ev.XForwardedFor)
	b.text(textResponseBody, ev.ResponseBody)
	b.text(textResponseFields, ev.ResponseFields)
	b.text(textEventID, ev.EventID)
	b.extra(ev.Extra)
	b.text(textSubject, subject)
	b.text(textEndpoint, endpoint)
	b.texts = append(b.texts, at.Topic...)
	b.ends = append(b.ends, len(b.texts))

	latency, ok := schemas.Float(ev.LatencyMS)
	b.number(numberLatencyMS, number{float: latency, there: ok})
	whole, ok := schemas.Int(ev.RequestBytes)
	b.number(numberRequestBytes, number{whole: whole, there: ok})
	whole, ok = schemas.Int(ev.ResponseBytes)
	b.number(numberResponseBytes, number{whole: whole, there: ok})

	eventTime := recordTime
	if ev.HasTime {
		eventTime = ev.Time
	}
	b.times = append(b.times, eventTime)
	b.statuses = append(b.statuses, ev.Status)
	b.blocked = append(b.blocked, ev.Blocked)
	b.partitions = append(b.partitions, at.Partition)
	b.offsets = append(b.offsets, at.Offset)
	b.recordTimes = append(b.recordTimes, recordTime)
}

// address gives the text of an address, nothing for none; valid until the next call.
func (b *EventBatch) address(addr netip.Addr) []byte {
	b.addr = b.addr[:0]
	if addr.IsValid() {
		b.addr = addr.AppendTo(b.addr)
	}
	return b.addr
}

func (b *EventBatch) text(column int, value []byte) {
	switch b.redact.columns[column] {
	case fateKeep:
		b.texts = append(b.texts, value...)
	case fateHash:
		b.texts = b.hash.append(b.texts, value)
	}
	b.ends = append(b.ends, len(b.texts))
}

func (b *EventBatch) number(column int, n number) {
	if b.redact.numbers[column] {
		n = number{}
	}
	b.numbers[column] = append(b.numbers[column], n)
}

// extra writes the unknown fields as a JSON object, of duplicates the last; nothing
// where there are none.
func (b *EventBatch) extra(members []schemas.Member) {
	whole := b.redact.columns[textExtra]
	if len(members) == 0 || whole == fateDrop {
		b.ends = append(b.ends, len(b.texts))
		return
	}
	start := len(b.texts)
	b.texts = append(b.texts, '{')
	at := places(members)
	for i, m := range members {
		if !isLast(members, at, i) {
			continue
		}
		f := b.redact.extra[string(m.Key)]
		if f == fateDrop {
			continue
		}
		if len(b.texts) > start+1 {
			b.texts = append(b.texts, ',')
		}
		if f == fateHash {
			hashed := append(b.hash.append([]byte{'"'}, m.Value), '"')
			m = schemas.Member{Key: m.Key, Value: hashed}
		}
		b.texts = schemas.AppendMember(b.texts, m)
	}
	b.texts = append(b.texts, '}')
	if whole == fateHash {
		object := b.texts[start:]
		b.texts = b.hash.append(b.texts[:start], append([]byte(nil), object...))
	}
	b.ends = append(b.ends, len(b.texts))
}

// places gives where each key stands last, nil for few members: those are compared
// with each other. An event made of many costs a map, not their square.
func places(members []schemas.Member) map[string]int {
	if len(members) <= 16 {
		return nil
	}
	at := make(map[string]int, len(members))
	for i, m := range members {
		at[string(m.Key)] = i
	}
	return at
}

func isLast(members []schemas.Member, at map[string]int, i int) bool {
	if at != nil {
		return at[string(members[i].Key)] == i
	}
	for _, later := range members[i+1:] {
		if string(later.Key) == string(members[i].Key) {
			return false
		}
	}
	return true
}

// appendTo gives the rows named by rows to an insert, column by column in the order
// of eventColumns.
func (b *EventBatch) appendTo(batch driver.Batch, rows []int) error {
	texts := make([]string, len(rows))
	for column := range eventTexts {
		for i, row := range rows {
			texts[i] = b.textOf(row, column)
		}
		if err := batch.Column(column).Append(texts); err != nil {
			return err
		}
	}
	floats := make([]*float64, len(rows))
	for i, row := range rows {
		if n := &b.numbers[numberLatencyMS][row]; n.there {
			floats[i] = &n.float
		}
	}
	if err := batch.Column(eventTexts + numberLatencyMS).Append(floats); err != nil {
		return err
	}
	wholes := make([]*int64, len(rows))
	for column := numberRequestBytes; column <= numberResponseBytes; column++ {
		for i, row := range rows {
			wholes[i] = nil
			if n := &b.numbers[column][row]; n.there {
				wholes[i] = &n.whole
			}
		}
		if err := batch.Column(eventTexts + column).Append(wholes); err != nil {
			return err
		}
	}
	const others = eventTexts + eventNumbers
	for column, values := range [eventOthers]any{
		columnTimestamp:  gather(rows, func(row int) time.Time { return storedTime(b.times[row]) }),
		columnStatus:     gather(rows, func(row int) uint16 { return b.statuses[row] }),
		columnBlocked:    gather(rows, func(row int) bool { return b.blocked[row] }),
		columnPartition:  gather(rows, func(row int) int32 { return b.partitions[row] }),
		columnOffset:     gather(rows, func(row int) int64 { return b.offsets[row] }),
		columnRecordTime: gather(rows, func(row int) time.Time { return storedTime(b.recordTimes[row]) }),
	} {
		if err := batch.Column(others + column).Append(values); err != nil {
			return err
		}
	}
	return nil
}

func gather[T any](rows []int, value func(row int) T) []T {
	out := make([]T, len(rows))
	for i, row := range rows {
		out[i] = value(row)
	}
	return out
}

// textOf is a text of a row. It points into the batch: the driver copies it.
func (b *EventBatch) textOf(row, column int) string {
	k := row*eventTexts + column
	start := 0
	if k > 0 {
		start = b.ends[k-1]
	}
	text := b.texts[start:b.ends[k]]
	return unsafe.String(unsafe.SliceData(text), len(text))
}
