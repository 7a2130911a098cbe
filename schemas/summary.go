package schemas

// SummarySeconds is the length of the buckets of event time that summaries are of. They
// begin at whole multiples of it since the epoch.
const SummarySeconds = 10

// SummaryVersion is the shape of Summary and SummaryMark; readers pass over others.
const SummaryVersion = 1

// Summary is what the events of one endpoint in one partition of the log say, of one
// bucket of event time: a record of the topic endpoint_stats. It is published once the
// partition's watermark has passed the end of the bucket, so nothing can be added to it.
// All of it can be merged (Merge), and what comes of merging does not depend on how the
// clients were spread over the partitions.
type Summary struct {
	Version  int    `json:"version"`
	View     string `json:"view"`     // which events were looked at, and how they were grouped: of detector.View
	Endpoint string `json:"endpoint"` // the endpoint key, with the service or host where the view groups by it
	Pooled   bool   `json:"pooled,omitempty"`

	Topic     string `json:"topic"` // of the log
	Partition int32  `json:"partition"`
	Start     int64  `json:"start"` // of the bucket, s since the epoch

	Requests  int64             `json:"requests"`
	Classes   [5]int64          `json:"classes"`              // requests by status: 1xx to 5xx
	Bytes     int64             `json:"bytes"`                // of responses, where known
	LatencyUS int64             `json:"latency_us,omitempty"` // the sum of latencies; whole numbers, so that it does not matter in which order they are added
	Latency   []BinCount        `json:"latency,omitempty"`    // in the order of the bins; requests without a latency are in none
	Evidence  []LatencyEvidence `json:"evidence,omitempty"`   // in the order of their times, then hashes
	Clients   []uint32          `json:"clients,omitempty"`    // the SummaryClients smallest hashes of clients, rising

	Sizes *Sizes `json:"sizes,omitempty"` // of views with rules about sizes, of the kinds that they judge
	Peers *Peers `json:"peers,omitempty"` // of views that compare clients with each other; these have nothing but this
}

// SummaryClients is how many hashes of clients a summary keeps, at most. The number of
// clients is estimated from the largest of so many smallest hashes (k minimum values:
// Bar-Yossef and others, RANDOM 2002), to 9 %; fewer are all there were.
const SummaryClients = 128

// BinCount is one bin of a histogram, of latencies or sizes: in JSON [bin, requests].
type BinCount struct {
	Bin   uint8
	Count int64
}

// LatencyEvidence is one request of those that a latency detector looks at one by one:
// in JSON [event time in µs, latency in ms, hash]. They are the SummaryEvidence requests
// of each second of event time with the smallest hashes, of what the requests say
// and not of where they lie in the log.
type LatencyEvidence struct {
	Time    int64
	Latency float64
	Hash    uint32
}

// SummaryEvidence is how many requests of a second are evidence.
const SummaryEvidence = 2

// SummaryMark says that a partition of the log has published all its summaries of the
// buckets that end at Closed or before. It is a record of the topic endpoint_stats
// without a key, one in each partition of that.
type SummaryMark struct {
	Version    int    `json:"version"`
	Topic      string `json:"topic"` // of the log
	Partition  int32  `json:"partition"`
	Partitions int    `json:"partitions"` // of the log
	Closed     int64  `json:"closed"`     // s since the epoch, a multiple of SummarySeconds

	// Traffic is how many requests the partition had in each of the buckets that it closed
	// since its last mark, those without requests left out. By it a silent endpoint is told
	// from a log in which nothing was written.
	Traffic []BucketTraffic `json:"traffic,omitempty"`
}

// BucketTraffic is the requests of all endpoints in one bucket.
type BucketTraffic struct {
	Start    int64 `json:"start"` // s since the epoch
	Requests int64 `json:"requests"`
}

// MarshalJSON writes [bin, requests].
func (b BinCount) MarshalJSON() ([]byte, error) { return appendBinCount(nil, b), nil }

// MarshalJSON writes [µs, ms, hash].
func (e LatencyEvidence) MarshalJSON() ([]byte, error) { return appendLatencyEvidence(nil, e), nil }
