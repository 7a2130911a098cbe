package schemas

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testdataDir finds the folder of shared test data beside the repository.
func testdataDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("APIWARDEN_TESTDATA")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("shared test data not found: %v", err)
		}
		t.Skipf("shared test data not found: %v (set APIWARDEN_TESTDATA to its folder)", err)
	}
	return filepath.Join(dir, "data")
}

// linesOf gives the lines of a file, which may be compressed.
func linesOf(t *testing.T, path string) [][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var lines [][]byte
	s := bufio.NewScanner(r)
	s.Buffer(nil, 4<<20)
	for s.Scan() {
		lines = append(lines, bytes.Clone(s.Bytes()))
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return lines
}

// Two public logs as they were written give the events that somebody else made of
// them. Lines of the logs are not in the events' order, so both are compared as bags.
func TestCombinedOnRealLogs(t *testing.T) {
	data := testdataDir(t)
	for folder, want := range map[string]int{"secrepo_2days": 1906, "elastic_apache": 10_000} {
		t.Run(folder, func(t *testing.T) {
			text := newDecoder(t, Options{Preset: "combined"})
			logs, err := filepath.Glob(filepath.Join(data, folder, "raw", "*"))
			if err != nil {
				t.Fatal(err)
			}
			bag := map[string]int{}
			lines := 0
			var ev Event
			for _, log := range logs {
				for _, line := range linesOf(t, log) {
					lines++
					if err := text.Decode(line, &ev); err != nil {
						t.Errorf("%s: %v", line, err)
						continue
					}
					bag[summary(&ev)]++
				}
			}
			for _, line := range linesOf(t, filepath.Join(data, folder, "events.jsonl.gz")) {
				bag[summaryOf(t, line)]--
			}
			for s, n := range bag {
				if n != 0 {
					t.Errorf("%+d of %s", n, s)
				}
			}
			if lines != want {
				t.Errorf("%d lines, want %d", lines, want)
			}
		})
	}
}

func summary(ev *Event) string {
	path := string(ev.Path)
	if ev.Query != nil {
		path += "?" + string(ev.Query)
	}
	agent := string(ev.UserAgent)
	if ev.UserAgent == nil {
		agent = "-"
	}
	return fmt.Sprintf("%s %s %s %s %d %s %s", Micros(ev.Time), ev.ClientIP, ev.Method, path, ev.Status, ev.ResponseBytes, agent)
}

// summaryOf is the summary of an event of the shared data, read by encoding/json.
func summaryOf(t *testing.T, line []byte) string {
	var e struct {
		Timestamp Micros `json:"timestamp"`
		ClientIP  string `json:"client_ip"`
		Method    string `json:"method"`
		Path      string `json:"path"`
		Status    int    `json:"status"`
		Bytes     int    `json:"bytes"`
		UserAgent string `json:"user_agent"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatal(err)
	}
	if e.UserAgent == "" { // of the one line whose user agent has no end
		e.UserAgent = "-"
	}
	return fmt.Sprintf("%s %s %s %s %d %d %s", e.Timestamp, e.ClientIP, e.Method, e.Path, e.Status, e.Bytes, e.UserAgent)
}

// Events of the shared data are read by our own shape; what cannot be read has a
// reason that a look at the line confirms.
func TestOwnShapeOnRealEvents(t *testing.T) {
	data := testdataDir(t)
	for _, c := range []struct {
		folder   string
		lines    int
		accepted int
	}{
		{"secrepo_2days", 1906, 1906}, {"elastic_apache", 10_000, 10_000}, {"cloudtrail_stratus", 2900, 2547}, // 353 clients are names
	} {
		d := newDecoder(t, Options{})
		lines := linesOf(t, filepath.Join(data, c.folder, "events.jsonl.gz"))
		if len(lines) != c.lines {
			t.Errorf("%s has %d lines, want %d", c.folder, len(lines), c.lines)
		}
		accepted := 0
		for _, line := range lines {
			var ev Event
			err := d.Decode(line, &ev)
			if got, want := reasonOf(t, err), wantReason(t, line, &ev); got != want {
				t.Errorf("%s: %v, want reason %q", line, err, want)
			}
			if err == nil {
				accepted++
				compareFields(t, line, &ev)
				compareAgain(t, &ev)
			}
		}
		if accepted != c.accepted {
			t.Errorf("%s: %d accepted, want %d", c.folder, accepted, c.accepted)
		}
	}
}
