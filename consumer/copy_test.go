package consumer

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// copied is what a test looks at of a copy.
type copied struct {
	Key, Headers string
}

func copiesOf(t *testing.T, maxBatch int, r *kgo.Record) []*kgo.Record {
	t.Helper()
	cfg := DefaultConfig()
	c, err := newCopier(cfg, program(t, rekeyRules), maxBatch)
	if err != nil {
		t.Fatal(err)
	}
	r.Topic, r.Partition, r.Offset, r.Timestamp = "api-logs", 3, 17, time.UnixMilli(1_700_000_000_123)
	return c.appendCopies(nil, r)
}

func TestCopies(t *testing.T) {
	const base = `{"client_ip":"192.0.2.1","method":"GET","path":"/","status":200`
	at := "apiwarden-topic=api-logs\napiwarden-partition=3\napiwarden-offset=17\napiwarden-time=1700000000123000\n"
	long := strings.Repeat("u", maxCopyKey+1)
	for name, c := range map[string]struct {
		key, value string
		headers    []kgo.RecordHeader
		want       []copied
	}{
		"an address":    {value: base + "}", want: []copied{{Key: "192.0.2.1"}}},
		"a key that is": {key: "pod-1", value: base + "}", want: []copied{{Key: "192.0.2.1"}}},
		"mapped address": {
			value: strings.Replace(base, "192.0.2.1", "::ffff:192.0.2.1", 1) + "}", want: []copied{{Key: "192.0.2.1"}},
		},
		"a network": {value: strings.Replace(base, "192.0.2.1", "2001:db8::7", 1) + "}", want: []copied{{Key: "2001:db8::/64"}}},
		"behind a proxy": {
			value: strings.Replace(base, "192.0.2.1", "10.0.0.1", 1) + `,"x_forwarded_for":"6.6.6.6, 198.51.100.2, 10.0.0.9"}`,
			want:  []copied{{Key: "198.51.100.2"}},
		},
		"two keys": {
			value: base + `,"user_id":"anna","api_key_id":7}`,
			want: []copied{
				{Key: "192.0.2.1"}, {Key: "user:anna", Headers: at + "apiwarden-key=user_id\n"}, {Key: "user:7", Headers: at + "apiwarden-key=api_key_id\n"},
			},
		},
		"an empty user": {value: base + `,"user_id":""}`, want: []copied{{Key: "192.0.2.1"}}},
		"a long user": {
			value: base + `,"user_id":"` + long + `"}`,
			want: []copied{
				{Key: "192.0.2.1"},
				{Key: "user:sha256:36868c95693f7961e19205254a6e613547eeb4375b384159e91a462f70e8af26", Headers: at + "apiwarden-key=user_id\n"},
			},
		},
		"headers": {
			value: base + "}", headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("x")}, {Key: sink.HeaderOffset, Value: []byte("5")}},
			want: []copied{{Key: "192.0.2.1", Headers: at + "trace=x\n"}},
		},
		"no event": {key: "pod-1", value: "junk", want: []copied{{Key: "pod-1"}}},
		"years ahead": {
			key: "pod-1", value: base + `,"user_id":"anna","timestamp":"2031-01-01T00:00:00Z"}`, want: []copied{{Key: "pod-1"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []copied
			for _, r := range copiesOf(t, 2<<20, &kgo.Record{Key: []byte(c.key), Value: []byte(c.value), Headers: c.headers}) {
				if string(r.Value) != c.value || r.Topic != "apiwarden-events" {
					t.Errorf("topic %s, value %.100q", r.Topic, r.Value)
				}
				got = append(got, copied{Key: string(r.Key), Headers: headers(r)})
			}
			for i := range c.want {
				if c.want[i].Headers == "" {
					c.want[i].Headers = at
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCopiesThatAreTooLarge(t *testing.T) {
	event := func(bytes int) []byte {
		begin := `{"client_ip":"192.0.2.1","method":"GET","path":"/","status":200,"user_id":"anna","response_body":"`
		return []byte(begin + strings.Repeat("x", bytes-len(begin)-2) + `"}`)
	}
	const limit = 1 << 20
	for name, c := range map[string]struct {
		maxBatch int
		value    []byte
		header   int // bytes of the record's own header
		copies   int
		reason   schemas.Reason
	}{
		"fits":                         {maxBatch: limit, value: event(limit - 8000), copies: 2},
		"fits without its own headers": {maxBatch: limit, value: event(limit - 8000), header: 10_000, copies: 2},
		"an event that does not":       {maxBatch: limit, value: event(limit - 100), copies: 1, reason: schemas.ReasonTooLarge},
		"junk that does not":           {maxBatch: limit, value: []byte(strings.Repeat("x", limit-100)), copies: 1, reason: schemas.ReasonJSON},
		"more than is allowed":         {maxBatch: 8 << 20, value: event(limit + 1), copies: 1, reason: schemas.ReasonTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			r := &kgo.Record{Value: c.value}
			if c.header > 0 {
				r.Headers = []kgo.RecordHeader{{Key: "own", Value: make([]byte, c.header)}}
			}
			got := copiesOf(t, c.maxBatch, r)
			if len(got) != c.copies {
				t.Errorf("%d copies, want %d", len(got), c.copies)
			}
			if reason := letterReason(got[0]); reason != c.reason {
				t.Errorf("reason %q, want %q", reason, c.reason)
			}
			for _, copied := range got {
				if size(copied) > limit {
					t.Errorf("a copy takes up to %d bytes", size(copied))
				}
				if header(copied, sink.HeaderOffset) != "17" {
					t.Error("a copy does not say where it is from")
				}
			}
		})
	}
}
