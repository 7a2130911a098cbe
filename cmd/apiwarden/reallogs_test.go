package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

const realLogRules = `version: 1
rules:
  - {id: volume, type: usage, threshold: 100, window: 1h, action: ban}
  - {id: missing, type: return_pattern, pattern: "status:404", threshold: 20, window: 5m, action: ban}
  - {id: paths, type: distinct, field: path, threshold: 50, window: 10m, action: alert}
`

// TestReplayRealLogs replays logs that nobody made up. Accepted and dead-lettered
// lines together are the lines of the file, counted here without our code, and
// every line is told apart as an independent look at it does.
func TestReplayRealLogs(t *testing.T) {
	data := filepath.Join(dev.Shared(t), "data")
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, []byte(realLogRules), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, preset string
		usable       func(lines [][]byte) int
	}{
		{"secrepo_2days/raw/slrbl_2021-10-22.log", "combined", combinedLines},
		{"secrepo_2days/raw/slrbl_2022-12-22.log", "combined", combinedLines},
		{"elastic_apache/raw/access.log.gz", "combined", combinedLines},
		{"secrepo_2days/events.jsonl.gz", "", eventLines},
		{"elastic_apache/events.jsonl.gz", "", eventLines},
		{"cloudtrail_stratus/events.jsonl.gz", "", eventLines},
	} {
		t.Run(c.file, func(t *testing.T) {
			file := filepath.Join(data, c.file)
			lines := readAllLines(t, file)
			usable := c.usable(lines)
			dlq := filepath.Join(t.TempDir(), "dlq")
			stdout, stderr := replayOf(t, "--rules", rules, "--input-preset", c.preset, "--dlq", dlq, file)
			read, accepted, dead := replayCounts(t, stderr.String())
			if read != len(lines) || accepted+dead != len(lines) {
				t.Errorf("%d lines, %d accepted, %d dead-lettered; the file has %d lines", read, accepted, dead, len(lines))
			}
			if accepted != usable {
				t.Errorf("%d accepted, an independent count finds %d usable", accepted, usable)
			}
			if n := len(readAllLines(t, dlq)); n != dead {
				t.Errorf("%d lines in the file of --dlq, %d dead-lettered", n, dead)
			}
			t.Logf("%d accepted, %d dead-lettered, %d verdicts", accepted, dead, bytes.Count(stdout.Bytes(), []byte{'\n'}))
		})
	}
}

// TestShippedRulesOnRealLogs holds the shipped rules against the review of their bans
// in docs/REVIEW-REAL-LOGS.md: nobody else may be banned, nobody in it be missed, and
// no ban meet a client that says it is a crawler.
func TestShippedRulesOnRealLogs(t *testing.T) {
	data := filepath.Join(dev.Shared(t), "data")
	page, err := os.ReadFile("../../docs/REVIEW-REAL-LOGS.md")
	if err != nil {
		t.Fatal(err)
	}
	reviewed := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (secrepo 20\d\d|elastic|cloudtrail) \| ([a-z0-9-]+) \| ([0-9a-f.:]+) \|.*\| \S.* \|$`).FindAllStringSubmatch(string(page), -1) {
		reviewed[m[1]] = append(reviewed[m[1]], m[2]+" "+m[3])
	}
	for _, c := range []struct{ log, file, preset string }{
		{"secrepo 2021", "secrepo_2days/raw/slrbl_2021-10-22.log", "combined"},
		{"secrepo 2021", "secrepo_2days/events.jsonl.gz", ""}, // the other day is a year ahead, and dead-lettered
		{"secrepo 2022", "secrepo_2days/raw/slrbl_2022-12-22.log", "combined"},
		{"elastic", "elastic_apache/raw/access.log.gz", "combined"},
		{"elastic", "elastic_apache/events.jsonl.gz", ""},
		{"cloudtrail", "cloudtrail_stratus/events.jsonl.gz", ""},
	} {
		t.Run(c.file, func(t *testing.T) {
			file := filepath.Join(data, c.file)
			lines := readAllLines(t, file)
			stdout, _ := replayOf(t, "--rules", "../../deploy/rules", "--input-preset", c.preset, file)
			crawler := regexp.MustCompile(`(?i)googlebot|bingbot|msnbot|slurp|yandex|baidu|sogou|petalbot|ahrefs|semrush|mj12bot|blexbot|ezooms|archive\.org|feed|rss|pingdom|uptime`)
			var banned []string
			for dec := json.NewDecoder(stdout); dec.More(); {
				var v struct {
					Rule    string `json:"rule_id"`
					Subject string
					Taken   string `json:"action_taken"`
					Trigger struct{ Offset int }
				}
				if err := dec.Decode(&v); err != nil {
					t.Fatal(err)
				}
				if v.Taken != "ban" {
					continue
				}
				if line := lines[v.Trigger.Offset]; crawler.Match(line) {
					t.Errorf("%s bans a crawler, feed reader or monitor: %s", v.Rule, line)
				}
				if ban := v.Rule + " " + v.Subject; !slices.Contains(banned, ban) {
					banned = append(banned, ban)
				}
			}
			want := reviewed[c.log]
			slices.Sort(banned)
			slices.Sort(want)
			if diff := cmp.Diff(want, banned); diff != "" {
				t.Errorf("bans (+) are not those that docs/REVIEW-REAL-LOGS.md reviews (-):\n%s", diff)
			}
		})
	}
}

// combinedLines is an independent reading of Apache's combined format.
func combinedLines(lines [][]byte) (usable int) {
	format := regexp.MustCompile(`^[0-9a-fA-F.:]+ \S+ \S+ \[[^\]]+\] "[A-Za-z-]+ \S[^"\\]*(\\.[^"\\]*)*" [1-5]\d\d (\d+|-)`)
	for _, line := range lines {
		if format.Match(line) {
			usable++
		}
	}
	return usable
}

// eventLines is an independent look at events of our own shape. In a file, one that
// is more than a year ahead of all before it cannot be used.
func eventLines(lines [][]byte) (usable int) {
	var newest time.Time
	for _, line := range lines {
		var ev struct {
			Timestamp    time.Time
			ClientIP     string `json:"client_ip"`
			Method, Path string
			Status       int
		}
		if json.Unmarshal(line, &ev) != nil || net.ParseIP(ev.ClientIP) == nil || ev.Method == "" || ev.Path == "" || ev.Status < 100 || ev.Status > 599 {
			continue
		}
		if !newest.IsZero() && ev.Timestamp.After(newest.AddDate(1, 0, 1)) {
			continue
		}
		usable++
		if ev.Timestamp.After(newest) {
			newest = ev.Timestamp
		}
	}
	return usable
}

func readAllLines(t *testing.T, name string) [][]byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(text, []byte("\n"))
	if n := len(lines); n > 0 && len(lines[n-1]) == 0 {
		lines = lines[:n-1]
	}
	return lines
}

// replayOf runs replay with arguments and gives what it printed.
func replayOf(t *testing.T, args ...string) (stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(builtBinary(t), append([]string{"replay"}, args...)...)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	return stdout, stderr
}

// replayCounts reads the summary of a replay.
func replayCounts(t *testing.T, stderr string) (lines, accepted, dead int) {
	t.Helper()
	m := regexp.MustCompile(`(\d+) lines? \(.*?\), (\d+) accepted, (\d+) dead-lettered`).FindStringSubmatch(stderr)
	if m == nil {
		t.Fatalf("no summary in %q", stderr)
	}
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(m[i+1]); err != nil {
			t.Fatal(fmt.Errorf("reading the summary: %w", err))
		}
	}
	return n[0], n[1], n[2]
}
