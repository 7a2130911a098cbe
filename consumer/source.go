package consumer

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// sources reads what copies say of the records that they are copies of. It belongs
// to one goroutine.
type sources struct {
	logs string   // the topic that they usually come from
	keys []string // of the rules
	copy detector.Copy
	time int64 // the source's timestamp, µs
}

// read takes in the copy r. A record that is no copy, which somebody else wrote to
// the topic, is its own source.
func (s *sources) read(r *kgo.Record) {
	s.copy = detector.Copy{Source: schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}}
	s.time = r.Timestamp.UnixMicro()
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Key {
		case sink.HeaderTopic:
			s.copy.Source.Topic = s.known(h.Value, s.logs)
		case sink.HeaderPartition:
			n, _ := strconv.ParseInt(string(h.Value), 10, 32)
			s.copy.Source.Partition = int32(n)
		case sink.HeaderOffset:
			s.copy.Source.Offset, _ = strconv.ParseInt(string(h.Value), 10, 64)
		case headerTime:
			s.time, _ = strconv.ParseInt(string(h.Value), 10, 64)
		case headerKey:
			s.copy.Key = s.known(h.Value, s.keys...)
		}
	}
}

// known gives text as a string, without making a new one for those that are usual.
func (s *sources) known(text []byte, usual ...string) string {
	for _, u := range usual {
		if string(text) == u {
			return u
		}
	}
	return string(text)
}

// letter gives the dead letter of the copy r that was read last; nil where another
// copy of the same record has it.
func (s *sources) letter(dlq string, r *kgo.Record, bad *schemas.BadRecord) *kgo.Record {
	if s.copy.Key != "" {
		return nil
	}
	if letterReason(r) != "" {
		return &kgo.Record{Topic: dlq, Key: r.Key, Value: r.Value, Headers: r.Headers}
	}
	source := *r
	source.Topic, source.Partition, source.Offset = s.copy.Source.Topic, s.copy.Source.Partition, s.copy.Source.Offset
	return sink.DeadLetter(dlq, &source, bad)
}
