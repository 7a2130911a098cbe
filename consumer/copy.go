package consumer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// Headers of a copy besides those of the source's position, which are sink's. A
// record of the logs keeps its own, but for those whose names begin like ours.
const (
	headerPrefix = "apiwarden-"
	headerTime   = headerPrefix + "time" // the source's timestamp, µs since 1970
	headerKey    = headerPrefix + "key"  // the field by which the copy is keyed; absent: the address
)

// maxCopyKey is how long a key may be that stands as it is; of a longer one a digest
// does, for the same value always the same.
const maxCopyKey = 256

// batchOverhead is no less than what a batch of one record takes besides its key, its
// value and its headers, and what a marked copy has more than the other one.
const batchOverhead = 1 << 10

// copier makes the copies of records. It belongs to one goroutine.
type copier struct {
	decoder  *schemas.Decoder
	identity *schemas.Identity
	keys     []*detector.Field
	topic    string // of the copies
	maxSkew  int64
	maxValue int // a larger record cannot be used
	maxBatch int // what the topic of the copies takes

	event   schemas.Event
	scratch detector.Scratch
	subject []byte
}

// newCopier makes copies for the topic events, which takes batches of up to maxBatch
// bytes.
func newCopier(cfg Config, p *detector.Program, maxBatch int) (*copier, error) {
	c := &copier{
		identity: p.Identity(), topic: cfg.Topics.Events, maxSkew: p.MaxSkew(),
		maxValue: int(cfg.Input.MaxRecordBytes), maxBatch: maxBatch,
	}
	names := []string{"peer_ip", "x_forwarded_for"}
	for _, key := range p.Keys() {
		field, err := detector.NewField(key)
		if err != nil {
			return nil, fmt.Errorf("key of a rule: %w", err)
		}
		c.keys = append(c.keys, field)
		names = append(names, key)
	}
	input := cfg.Input.decoderOptions()
	input.Needs = schemas.FieldsNamed(names...)
	var err error
	c.decoder, err = schemas.NewDecoder(input)
	return c, err
}

// appendCopies appends the copies of r: one keyed by the canonical subject and, for
// each key of a rule that the event has, a marked one. A record that cannot be used
// has one copy, with the key that it came with: detect dead-letters it.
func (c *copier) appendCopies(dst []*kgo.Record, r *kgo.Record) []*kgo.Record {
	if len(r.Value) > c.maxValue {
		return append(dst, c.letter(r, &schemas.BadRecord{
			Reason: schemas.ReasonTooLarge, Detail: fmt.Sprintf("%d bytes, %d are allowed", len(r.Value), c.maxValue),
		}))
	}
	headers := c.headers(r)
	bad := badRecord(c.decoder.Decode(r.Value, &c.event))
	stamp := r.Timestamp.UnixMicro()
	if bad == nil && c.event.HasTime && c.event.Time > stamp+c.maxSkew {
		bad = &schemas.BadRecord{Reason: schemas.ReasonFuture, Detail: "event time " + schemas.Micros(c.event.Time).String()}
	}
	if bad != nil {
		return c.fitting(dst, r, bad, &kgo.Record{Topic: c.topic, Key: r.Key, Value: r.Value, Headers: headers})
	}
	client, _ := c.identity.Client(&c.event)
	c.subject = appendSubject(c.subject[:0], c.identity.Network(client))
	large := &schemas.BadRecord{
		Reason: schemas.ReasonTooLarge, Detail: fmt.Sprintf("topic %s takes records of %d bytes: raise its max.message.bytes", c.topic, c.maxBatch),
	}
	dst = c.fitting(dst, r, large, &kgo.Record{Topic: c.topic, Key: []byte(string(c.subject)), Value: r.Value, Headers: headers})
	if letterReason(dst[len(dst)-1]) != "" {
		return dst
	}
	for _, field := range c.keys {
		value, ok := field.Value(&c.event, &c.scratch)
		if !ok || len(value) == 0 {
			continue
		}
		marked := append(headers[:len(headers):len(headers)], kgo.RecordHeader{Key: headerKey, Value: []byte(field.String())})
		dst = append(dst, c.light(&kgo.Record{Topic: c.topic, Key: copyKey(value), Value: r.Value, Headers: marked}))
	}
	return dst
}

// headers gives those of r's copies. Whatever r has of ours is not repeated: it may
// be a dead letter that somebody sends again.
func (c *copier) headers(r *kgo.Record) []kgo.RecordHeader {
	headers := make([]kgo.RecordHeader, 0, len(r.Headers)+5)
	headers = append(headers,
		kgo.RecordHeader{Key: sink.HeaderTopic, Value: []byte(r.Topic)},
		kgo.RecordHeader{Key: sink.HeaderPartition, Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
		kgo.RecordHeader{Key: sink.HeaderOffset, Value: strconv.AppendInt(nil, r.Offset, 10)},
		kgo.RecordHeader{Key: headerTime, Value: strconv.AppendInt(nil, r.Timestamp.UnixMicro(), 10)})
	for _, h := range r.Headers {
		if !strings.HasPrefix(h.Key, headerPrefix) {
			headers = append(headers, h)
		}
	}
	return headers
}

// copyKey is the key of a marked copy: that of the ban which its rules may lead to.
func copyKey(value []byte) []byte {
	if len(value) > maxCopyKey {
		sum := sha256.Sum256(value)
		return []byte(schemas.BanKey(schemas.ScopeUser, "sha256:"+hex.EncodeToString(sum[:])))
	}
	return []byte(schemas.BanKey(schemas.ScopeUser, string(value)))
}

// fitting appends the copy of r, or its dead letter where it does not fit.
func (c *copier) fitting(dst []*kgo.Record, r *kgo.Record, bad *schemas.BadRecord, copied *kgo.Record) []*kgo.Record {
	if copied = c.light(copied); size(copied) > c.maxBatch {
		return append(dst, c.letter(r, bad))
	}
	return append(dst, copied)
}

// light leaves out the headers that r came with where they are too large to be
// carried on.
func (c *copier) light(r *kgo.Record) *kgo.Record {
	if size(r) <= c.maxBatch {
		return r
	}
	var ours []kgo.RecordHeader
	for _, h := range r.Headers {
		if strings.HasPrefix(h.Key, headerPrefix) {
			ours = append(ours, h)
		}
	}
	r.Headers = ours
	return r
}

// size is no less than what r takes in a batch of its own.
func size(r *kgo.Record) int {
	n := batchOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

// letter is the copy of a record that cannot be used and is too large to be copied:
// its dead letter as it is, which detect only passes on.
func (c *copier) letter(r *kgo.Record, bad *schemas.BadRecord) *kgo.Record {
	return sink.DeadLetter(c.topic, r, bad)
}

// letterReason is why a copy is a dead letter already; "" for any other.
func letterReason(copied *kgo.Record) schemas.Reason {
	for i := range copied.Headers {
		if h := &copied.Headers[i]; h.Key == sink.HeaderReason {
			return schemas.Reason(h.Value)
		}
	}
	return ""
}
