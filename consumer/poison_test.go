package consumer

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

func TestPoisonIsDeadLetteredAndTheNextRecordIsNot(t *testing.T) {
	good := func() string { return event("192.0.2.1", "/hit") }
	with := func(field string) string {
		return `{"client_ip":"192.0.2.1","method":"GET","path":"/hit",` + field + `}`
	}
	poison := []struct {
		name   string
		value  string
		reason schemas.Reason
	}{
		{"not JSON", "GET / HTTP/1.1", schemas.ReasonJSON},
		{"empty", "", schemas.ReasonJSON},
		{"an array", "[" + good() + "]", schemas.ReasonJSON},
		{"two objects", good() + good(), schemas.ReasonJSON},
		{"cut off", good()[:40], schemas.ReasonJSON},
		{"invalid UTF-8", with("\"status\":200,\"user_agent\":\"\xff\xfe\""), schemas.ReasonUTF8},
		{"no address", `{"method":"GET","path":"/hit","status":200}`, schemas.ReasonClientIP},
		{"malformed address", strings.Replace(good(), "192.0.2.1", "192.0.2.999", 1), schemas.ReasonClientIP},
		{"no method", strings.Replace(good(), `"method":"GET",`, "", 1), schemas.ReasonMethod},
		{"no path", strings.Replace(good(), `"path":"/hit",`, "", 1), schemas.ReasonPath},
		{"status 99", with(`"status":99`), schemas.ReasonStatus},
		{"years ahead", `{"client_ip":"192.0.2.1","method":"GET","path":"/hit","status":200,"timestamp":"2031-01-01T00:00:00Z"}`, schemas.ReasonFuture},
		{"unreadable time", with(`"status":200,"timestamp":"yesterday"`), schemas.ReasonTimestamp},
		{"5 MB", with(`"status":200,"response_body":"` + strings.Repeat("x", 5<<20) + `"`), schemas.ReasonTooLarge},
		{"100,000 deep", strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), schemas.ReasonJSON},
		{"100,000 deep in a field", with(`"status":200,"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), schemas.ReasonJSON},
		{"a BOM", "\ufeff" + good(), schemas.ReasonJSON},
		{"NUL bytes", "\x00\x00\x00", schemas.ReasonJSON},
		{"NUL in JSON", good() + "\x00", schemas.ReasonJSON},
	}
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, everyEvent)
		big := s.client(t, kgo.ProducerBatchMaxBytes(16<<20))
		s.raise(t, s.cfg.Topics.Logs, 16<<20)
		var offset int64 = -1
		for _, p := range poison {
			r := &kgo.Record{Topic: s.cfg.Topics.Logs, Key: []byte("192.0.2.1"), Value: []byte(p.value), Headers: []kgo.RecordHeader{{Key: "name", Value: []byte(p.name)}}}
			if err := big.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
			if offset < 0 {
				offset = r.Offset
			}
			s.put(t, "192.0.2.1", good())
		}
		time.Sleep(3 * time.Second)
		s.wantEachOnce(t, len(poison))

		letters := s.read(t, s.cfg.Topics.DLQ)
		if len(letters) != len(poison) {
			t.Fatalf("%d dead letters, want %d", len(letters), len(poison))
		}
		count := make(map[schemas.Reason]int)
		for i, p := range poison {
			l := letters[i]
			want := fmt.Sprintf("%s=api-logs\n%s=", sink.HeaderTopic, sink.HeaderPartition)
			if got := headers(l); !strings.HasPrefix(got, want) || header(l, sink.HeaderOffset) != strconv.FormatInt(offset+2*int64(i), 10) ||
				header(l, sink.HeaderReason) != string(p.reason) || string(l.Key) != "192.0.2.1" {
				t.Errorf("%s: key %q, headers\n%s", p.name, l.Key, got)
			}
			if cut := header(l, sink.HeaderTruncated); cut != "" {
				if cut != strconv.Itoa(len(p.value)) || !strings.HasPrefix(p.value, string(l.Value)) || len(l.Value) < 500_000 {
					t.Errorf("%s: cut from %s to %d bytes", p.name, cut, len(l.Value))
				}
			} else if string(l.Value) != p.value {
				t.Errorf("%s: the dead letter's value is not the record's", p.name)
			}
			count[p.reason]++
		}
		for reason, n := range count {
			if got := testutil.ToFloat64(d.metrics.DeadLetters.WithLabelValues(string(reason))); got != float64(n) {
				t.Errorf("%v dead letters counted for %s, want %d", got, reason, n)
			}
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if n := s.uncommitted(t); n != 0 {
			t.Errorf("%d records are not committed", n)
		}
	})
}

func TestDeadLetterThatItsTopicFindsTooLargeIsCut(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.detect(t, everyEvent)
		s.raise(t, s.cfg.Topics.DLQ, 10_000)
		noise := make([]byte, 90_000) // that no codec makes smaller than the topic takes
		for i := range noise {
			noise[i] = byte(rand.N(256))
		}
		s.put(t, "192.0.2.1", hex.EncodeToString(noise), event("192.0.2.1", "/hit"))
		time.Sleep(3 * time.Second)
		s.wantEachOnce(t, 1)
		letters := s.read(t, s.cfg.Topics.DLQ)
		if len(letters) != 1 || header(letters[0], sink.HeaderTruncated) != "180000" {
			t.Fatalf("want one dead letter, cut from 180000 bytes, got %d", len(letters))
		}
	})
}

func TestBatchTooLargeToUnpackIsSkipped(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, everyEvent, kgo.MaxDecompressBatchBytes(1<<20))
		s.raise(t, s.cfg.Topics.Logs, 16<<20)
		bomb := s.client(t, kgo.ProducerBatchMaxBytes(16<<20), kgo.ProducerBatchCompression(kgo.GzipCompression()))
		for _, v := range []string{strings.Repeat(" ", 8<<20), event("192.0.2.1", "/hit")} {
			r := &kgo.Record{Topic: s.cfg.Topics.Logs, Key: []byte("192.0.2.1"), Value: []byte(v)}
			if err := bomb.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		s.wantEachOnce(t, 1)
		letters := s.read(t, s.cfg.Topics.DLQ)
		if len(letters) != 1 || header(letters[0], sink.HeaderReason) != "too_large" || header(letters[0], sink.HeaderOffset) != "0" {
			t.Fatalf("want one dead letter for the batch, got %d", len(letters))
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if n := s.uncommitted(t); n != 0 {
			t.Errorf("%d records are not committed", n)
		}
	})
}
