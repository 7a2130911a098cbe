package sink

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
)

// Headers of a dead letter.
const (
	HeaderTopic     = "apiwarden-topic"
	HeaderPartition = "apiwarden-partition"
	HeaderOffset    = "apiwarden-offset"
	HeaderReason    = "apiwarden-reason"
	HeaderDetail    = "apiwarden-detail"    // what was found, for a person
	HeaderTruncated = "apiwarden-truncated" // the value was cut: how many bytes it had
)

const (
	maxLetterKey   = 64 << 10
	maxLetterValue = maxBatchBytes - maxLetterKey - 16<<10
	maxDetail      = 1 << 10
)

// DeadLetter is the record of the topic dlq for a record that cannot be used: its
// key and its value as they came, cut where they are too large to send.
func DeadLetter(dlq string, r *kgo.Record, bad *schemas.BadRecord) *kgo.Record {
	out := &kgo.Record{Topic: dlq, Key: r.Key, Value: r.Value, Headers: []kgo.RecordHeader{
		{Key: HeaderTopic, Value: []byte(r.Topic)},
		{Key: HeaderPartition, Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
		{Key: HeaderOffset, Value: strconv.AppendInt(nil, r.Offset, 10)},
		{Key: HeaderReason, Value: []byte(bad.Reason)},
	}}
	if bad.Detail != "" {
		detail := []byte(bad.Detail)
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: HeaderDetail, Value: detail[:min(len(detail), maxDetail)]})
	}
	if len(out.Key) > maxLetterKey {
		out.Key = out.Key[:maxLetterKey]
	}
	if len(out.Value) > maxLetterValue {
		cutRecord(out, maxLetterValue)
	}
	return out
}

// cutRecord cuts the value of r to n bytes and says in a header how many it had;
// false where nothing is left to cut or the value must stay whole, as every value
// but a dead letter's must.
func cutRecord(r *kgo.Record, n int) bool {
	letter, said := false, false
	for _, h := range r.Headers {
		letter = letter || h.Key == HeaderReason
		said = said || h.Key == HeaderTruncated
	}
	if !letter || len(r.Value) == 0 {
		return false
	}
	if !said {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderTruncated, Value: strconv.AppendInt(nil, int64(len(r.Value)), 10)})
	}
	r.Value = r.Value[:n]
	return true
}
