package sink

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
)

// SummaryOpts is for a client that writes summaries to topic, besides others with
// ProducerOpts: the Partition of their records says where they go. seen is told, with each
// record, how many partitions the topic has.
func SummaryOpts(topic string, seen func(partitions int)) kgo.Opt {
	return kgo.RecordPartitioner(summaryPartitioner{
		topic:  topic,
		others: kgo.UniformBytesPartitioner(64<<10, true, true, nil), // the client's own default
		summaries: kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(r *kgo.Record, n int) int {
				seen(n)
				return int(uint32(r.Partition) % uint32(n))
			}
		}),
	})
}

type summaryPartitioner struct {
	topic             string
	others, summaries kgo.Partitioner
}

// ForTopic implements kgo.Partitioner.
func (p summaryPartitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == p.topic {
		return p.summaries.ForTopic(topic)
	}
	return p.others.ForTopic(topic)
}

// SummaryRecord is the record of the topic endpoint_stats for s. All that one view sees
// of an endpoint goes to one partition, from whichever partition of the log it comes.
func SummaryRecord(topic string, s *schemas.Summary) *kgo.Record {
	hash := uint32(2166136261) // FNV-1a, 32 bits
	for _, text := range [...]string{s.View, "\x00", s.Endpoint} {
		for i := range len(text) {
			hash = (hash ^ uint32(text[i])) * 16777619
		}
	}
	return &kgo.Record{Topic: topic, Partition: int32(hash >> 1), Key: []byte(s.Endpoint), Value: schemas.AppendSummary(nil, s)}
}

// MarkRecords are the records of the topic endpoint_stats for m, one for each of its
// partitions. They are sent once the summaries are acknowledged that m speaks of.
func MarkRecords(topic string, m *schemas.SummaryMark, partitions int) []*kgo.Record {
	value := schemas.AppendSummaryMark(nil, m)
	recs := make([]*kgo.Record, partitions)
	for i := range recs {
		recs[i] = &kgo.Record{Topic: topic, Partition: int32(i), Value: value}
	}
	return recs
}
