package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

// endToEndRules find something in each of the real logs, also in one whose lines are
// not in the order of their times.
const endToEndRules = `version: 1
lateness: 1h
rules:
  - {id: volume, type: usage, threshold: 20, window: 1h, action: ban}
  - {id: missing, type: return_pattern, pattern: "status:4xx", threshold: 5, window: 1h, action: throttle}
  - {id: paths, type: distinct, field: path, threshold: 15, window: 1h, action: alert}
  - {id: errors, type: ratio, pattern: "status:>=400", min_volume: 5, threshold: 0.5, window: 1h}
`

// TestRealLogsThroughKafkaIntoClickHouse sends logs that nobody made up, bad lines
// and all, through Kafka and detection into ClickHouse. Every line is stored or
// dead-lettered, as a count without our code wants it, and the verdicts are those
// of replay.
func TestRealLogsThroughKafkaIntoClickHouse(t *testing.T) {
	data := filepath.Join(dev.Shared(t), "data")
	for _, c := range []struct {
		name, preset, file string
		usable             func(lines [][]byte) int
	}{
		{"secrepo 2021", "combined", "secrepo_2days/raw/slrbl_2021-10-22.log", combinedLines},
		{"secrepo 2022", "combined", "secrepo_2days/raw/slrbl_2022-12-22.log", combinedLines},
		{"elastic", "combined", "elastic_apache/raw/access.log.gz", combinedLines},
		{"cloudtrail", "", "cloudtrail_stratus/events.jsonl.gz", eventLines},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lines := readAllLines(t, filepath.Join(data, c.file))
			usable := c.usable(lines)
			// One partition, so that time is that of the whole file, as in replay.
			s := startSite(t, endToEndRules, c.preset, 1)
			var records []*kgo.Record
			for _, line := range lines {
				records = append(records, &kgo.Record{Key: bytes.SplitN(line, []byte(" "), 2)[0], Value: line})
			}
			s.produce(records)
			s.caughtUp(usable)
			s.eventually("every other line in the dead letters", func() bool { return s.records("dlq") >= len(lines)-usable })
			if n := s.number("SELECT count() FROM {db}.events FINAL"); n != usable {
				t.Errorf("%d events in ClickHouse, %d of %d lines are usable", n, usable, len(lines))
			}
			if n := s.number("SELECT uniqExact(partition, offset) FROM {db}.events"); n != usable {
				t.Errorf("%d different positions in ClickHouse, %d of %d lines are usable", n, usable, len(lines))
			}
			if n := s.records("dlq"); n != len(lines)-usable {
				t.Errorf("%d dead letters, %d of %d lines are not usable", n, len(lines)-usable, len(lines))
			}
			stored := strings.Fields(s.query("SELECT concat_ws('|', rule_id, subject, toString(toUnixTimestamp64Micro(event_time)), toString(count), action) FROM {db}.verdicts FINAL FORMAT TSV"))
			if len(stored) == 0 {
				t.Error("no verdicts: nothing is compared")
			}
			if diff := cmp.Diff(sorted(replayed(t, endToEndRules, lines, c.preset)), sorted(stored)); diff != "" {
				t.Errorf("verdicts of replay (-) and of run (+) differ:\n%s", diff)
			}
		})
	}
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}

// replayed gives the verdicts of replay as the query of the test writes them.
func replayed(t *testing.T, text string, lines [][]byte, preset string) []string {
	t.Helper()
	dir := t.TempDir()
	rules, log := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "log")
	for file, content := range map[string][]byte{rules: []byte(text), log: bytes.Join(lines, []byte("\n"))} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(builtBinary(t), "replay", "--rules", rules, "--input-preset", preset, log).Output()
	if err != nil {
		t.Fatal(err)
	}
	var verdicts []string
	for line := range strings.Lines(string(out)) {
		var v struct {
			RuleID    string `json:"rule_id"`
			Subject   string
			EventTime time.Time `json:"event_time"`
			Count     int
			Action    string
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		verdicts = append(verdicts, fmt.Sprintf("%s|%s|%d|%d|%s", v.RuleID, v.Subject, v.EventTime.UnixMicro(), v.Count, v.Action))
	}
	return verdicts
}

// TestUsageAgreesWithClickHouse compares our usage rule, to the event, with the
// window function of ClickHouse over the same events: an oracle nobody here wrote.
func TestUsageAgreesWithClickHouse(t *testing.T) {
	const events, addresses, threshold = 200_000, 8_000, 10
	s := startSite(t, fmt.Sprintf(`version: 1
rules:
  - {id: usage, type: usage, threshold: %d, window: 60s, window_edge: half_open, emit: every}
`, threshold), "", 4)
	rnd := rand.New(rand.NewPCG(1, 2))
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	records := make([]*kgo.Record, events)
	for i := range records {
		a := rnd.IntN(addresses)
		ip := fmt.Sprintf("10.0.%d.%d", a>>8, a&255)
		records[i] = &kgo.Record{Key: []byte(ip), Value: fmt.Appendf(nil, `{"timestamp":%d,"client_ip":%q,"method":"GET","path":"/x","status":200}`,
			start.UnixMilli()+int64(i), ip)}
	}
	s.produce(records)
	s.caughtUp(events)
	s.query(`CREATE VIEW {db}.over AS SELECT partition, offset, c FROM (
		SELECT partition, offset, count() OVER (PARTITION BY client_ip ORDER BY toUnixTimestamp64Milli(timestamp) RANGE BETWEEN 59999 PRECEDING AND CURRENT ROW) AS c
		FROM {db}.events FINAL) WHERE c > ` + fmt.Sprint(threshold))
	crossings := s.number("SELECT count() FROM {db}.over")
	if crossings < 1000 || crossings > events/2 {
		t.Fatalf("%d of %d events are over the threshold: nothing much is compared", crossings, events)
	}
	ours := "SELECT assumeNotNull(tupleElement(trigger, 'partition')) AS partition, assumeNotNull(tupleElement(trigger, 'offset')) AS offset FROM {db}.verdicts FINAL"
	theirs := "SELECT partition, offset FROM {db}.over"
	for name, sql := range map[string]string{
		"only the rule fired":           ours + " EXCEPT " + theirs,
		"only the window function does": theirs + " EXCEPT " + ours,
	} {
		if n := s.number("SELECT count() FROM (" + sql + ")"); n != 0 {
			t.Errorf("%s: %d events", name, n)
		}
	}
	if n := s.number("SELECT count() FROM {db}.verdicts FINAL"); n != crossings {
		t.Errorf("%d verdicts for %d events over the threshold", n, crossings)
	}
}

// TestStopWhileTheGroupWaits stops a process that has asked to join its group and
// has no answer, because a member that crashed has not timed out yet.
func TestStopWhileTheGroupWaits(t *testing.T) {
	s := startSite(t, "version: 1\nrules: [{id: usage, type: usage, threshold: 1}]\n", "", 1)
	if err := s.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.process.Wait()
	s.start()
	time.Sleep(3 * time.Second)
	asked := time.Now()
	s.stop() // which wants exit status 0
	if took := time.Since(asked); took > 15*time.Second {
		t.Errorf("stopping took %v", took)
	}
}
