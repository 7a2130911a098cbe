package sink

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
)

const (
	maxVerdictBytes = 256 << 10
	maxVerdictText  = 2 << 10
)

// VerdictRecord is the record of the verdict topic for v. A verdict whose texts were
// made of an absurdly long path is sent with those texts cut: it must not be one
// that no broker takes.
func VerdictRecord(topic string, v *schemas.Verdict) *kgo.Record {
	value := schemas.AppendVerdict(make([]byte, 0, 1<<10), v)
	if len(value) > maxVerdictBytes {
		short := *v
		short.Endpoint = cutText(v.Endpoint)
		short.Details = cutText(v.Details)
		short.Evidence.Trigger = cutText(v.Evidence.Trigger)
		value = schemas.AppendVerdict(value[:0], &short)
	}
	return &kgo.Record{Topic: topic, Key: []byte(v.Subject), Value: value}
}

func cutText(s string) string {
	if len(s) <= maxVerdictText {
		return s
	}
	return strings.ToValidUTF8(s[:maxVerdictText], "") + "…"
}
