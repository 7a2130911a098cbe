package consumer

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
)

var eventTime = regexp.MustCompile(`"timestamp":(\d+)`)

// summaryKey is what there is one summary of.
type summaryKey struct {
	partition int32
	start     int64
	endpoint  string
}

// summarizedInOneGo gives what the partitions' logs lead to where nothing is closed by the
// clock.
func (c *chaos) summarizedInOneGo(t *testing.T, logs []*kgo.Record) map[summaryKey]string {
	t.Helper()
	out := make(map[summaryKey]string)
	partitions := c.judgedInOneGo(t)
	for _, r := range logs {
		p := partitions[r.Partition]
		p.judgeOne(t, r)
		p.engine.Take()
		keepSummaries(out, p)
	}
	for _, p := range partitions {
		p.replay.advance(p, 1<<62)
		p.engine.CloseIdle(1<<62, time.Hour.Microseconds())
		keepSummaries(out, p)
	}
	return out
}

func keepSummaries(to map[summaryKey]string, p *partition) {
	summaries, _ := p.engine.TakeSummaries()
	for i := range summaries {
		to[summaryKeyOf(&summaries[i])] = string(schemas.AppendSummary(nil, &summaries[i]))
	}
}

func summaryKeyOf(s *schemas.Summary) summaryKey { return summaryKey{s.Partition, s.Start, s.Endpoint} }

// compareSummaries holds the summaries against those of logs that are judged in one go. What is
// written twice has to be the same, and all has to be what was in the log, unless its bucket
// was closed by the clock. No summary is new behind a mark that speaks of it.
func (c *chaos) compareSummaries(t *testing.T) {
	t.Helper()
	logs := c.read(t, c.cfg.Topics.Logs)
	want := c.summarizedInOneGo(t, logs)
	newest := func(partition int32, until time.Time) int64 { // event time, as far as it was in the log
		at := int64(0)
		for _, r := range logs {
			if r.Partition == partition && !r.Timestamp.After(until) {
				micros, err := strconv.ParseInt(string(eventTime.FindSubmatch(r.Value)[1]), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				at = max(at, micros/1e6)
			}
		}
		return at
	}
	got := make(map[summaryKey]string)
	type reading struct{ stats, logs int32 }
	closed := make(map[reading]int64)
	other, again := 0, 0
	for _, r := range c.read(t, c.cfg.Topics.EndpointStats) {
		if r.Key == nil {
			var m schemas.SummaryMark
			if err := schemas.DecodeSummaryMark(r.Value, &m); err != nil {
				t.Fatal(err)
			}
			at := reading{r.Partition, m.Partition}
			closed[at] = max(closed[at], m.Closed)
			if ahead := m.Closed - r.Timestamp.Unix(); ahead > -5 {
				t.Errorf("a mark of partition %d says %d, %d s ahead of the clock less lateness", m.Partition, m.Closed, ahead+5)
			}
			continue
		}
		var s schemas.Summary
		if err := schemas.DecodeSummary(r.Value, &s); err != nil {
			t.Fatal(err)
		}
		key := summaryKeyOf(&s)
		before, twice := got[key]
		if !twice && s.Start < closed[reading{r.Partition, s.Partition}] {
			t.Errorf("the summary %v is new behind a mark until %d", key, closed[reading{r.Partition, s.Partition}])
		}
		byClock := newest(s.Partition, r.Timestamp) < s.Start+schemas.SummarySeconds+5
		if text := string(r.Value); text != want[key] || twice && text != before {
			other++
			if !byClock {
				t.Errorf("the summary at %v, newest %d\n%s\nis, once more: %v, want\n%s", r.Timestamp.Unix(), newest(s.Partition, r.Timestamp), text, twice, want[key])
			}
		}
		if twice {
			again++
			continue
		}
		got[key] = string(r.Value)
	}
	type bucket struct {
		partition int32
		start     int64
	}
	told := make(map[bucket]bool)
	for key := range got {
		told[bucket{key.partition, key.start}] = true
	}
	missing := 0
	for key := range want {
		if got[key] != "" {
			continue
		}
		missing++
		if !told[bucket{key.partition, key.start}] { // else all of it may have come after the clock had closed it
			t.Errorf("the summary %v is missing, of %s", key, want[key])
		}
	}
	t.Logf("%d summaries, %d once more, %d closed by the clock and others than in one go, %d missing", len(got), again, other, missing)
}
