package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// benchTestBroker is the broker of `make test`, else one in this process.
func benchTestBroker(t *testing.T) string {
	t.Helper()
	if addr := os.Getenv("APIWARDEN_TEST_KAFKA"); addr != "" {
		return addr
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// TestBenchQuick runs all sections that need no more than a broker, and looks whether
// their figures can be true.
func TestBenchQuick(t *testing.T) {
	broker, dir := benchTestBroker(t), t.TempDir()
	sections := []string{"raw", "detect", "flood", "memory", "latency", "replay", "growth"}
	args := []string{
		"bench", "--quick", "--brokers", broker, "--only", strings.Join(sections, ","),
		"--json", filepath.Join(dir, "report.json"), "--markdown", filepath.Join(dir, "page", "report.md"), "--svg", filepath.Join(dir, "svg"),
	}
	if addr := os.Getenv("APIWARDEN_TEST_CLICKHOUSE"); addr != "" {
		sections = append(sections, "store")
		args = append(args, "--clickhouse", addr)
		args[5] = strings.Join(sections, ",")
	}
	cmd := exec.Command(builtBinary(t), args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stderr.String(), stdout.String())
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report benchReport
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	checkFigures(t, &report, sections)
	for _, m := range report.Measures {
		if !strings.Contains(stdout.String(), m.What) {
			t.Errorf("the table lacks %q", m.What)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "page", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Curves {
		if !strings.Contains(string(page), "(../svg/"+c.ID+".svg)") {
			t.Errorf("the page lacks the picture %s", c.ID)
		}
		checkPicture(t, filepath.Join(dir, "svg", c.ID+".svg"))
	}
	checkNoTopics(t, broker)
	if left, _ := filepath.Glob(filepath.Join(dir, "apiwarden-bench-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// checkFigures looks whether each section has figures, and they can be true.
func checkFigures(t *testing.T, r *benchReport, sections []string) {
	t.Helper()
	value := make(map[string]float64)
	for _, m := range r.Measures {
		value[m.ID] = m.Value
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) || m.Value == 0 && m.Section != "growth" {
			t.Errorf("%s is %v", m.ID, m.Value)
		}
		if (m.Target == nil) != (m.Met == nil) {
			t.Errorf("%s: a target and whether it is met come together", m.ID)
		}
	}
	for _, name := range sections {
		if !slices.ContainsFunc(r.Measures, func(m measure) bool { return m.Section == name }) {
			t.Errorf("no figure of section %s", name)
		}
	}
	for _, id := range []string{"raw_rate", "detect_rate_1", "detect_rate_6", "replay_per_cpu_1000"} {
		if v := value[id]; v < 1000 || v > 1e9 {
			t.Errorf("%s is %v", id, v)
		}
	}
	if value["detect_verdicts_6"] < 10 {
		t.Errorf("six rules gave %v verdicts", value["detect_verdicts_6"])
	}
	if value["latency_p50"] > value["latency_p99"] || value["latency_p99"] > value["latency_max"] {
		t.Error("latencies are not in order")
	}
	if value["latency_verdicts"] != 100 {
		t.Errorf("%v %% of the verdicts came", value["latency_verdicts"])
	}
	if v := value["memory_state"]; v < 50 || v > 1000 {
		t.Errorf("an address takes %v bytes", v)
	}
	var curves []string
	for _, c := range r.Curves {
		curves = append(curves, c.ID)
		for _, s := range c.Series {
			if len(s.Points) < 2 || len(s.Points) != len(c.Series[0].Points) {
				t.Errorf("%s: %s has %d points", c.ID, s.Name, len(s.Points))
			}
		}
	}
	if d := cmp.Diff([]string{"latency", "cost-addresses", "cost-rules", "cost-window"}, curves); d != "" {
		t.Errorf("curves (-want +got):\n%s", d)
	}
}

func checkPicture(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for d, n := xml.NewDecoder(f), 0; ; n++ {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			if n < 50 {
				t.Errorf("%s is empty", name)
			}
			return
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
	}
}

// checkNoTopics looks whether the benchmark's topics are gone. A broker learns of a
// deletion a moment after the controller has acknowledged it.
func checkNoTopics(t *testing.T, broker string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	deadline := time.Now().Add(time.Minute)
	for {
		topics, err := kadm.NewClient(cl).ListTopics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		left := slices.DeleteFunc(topics.Names(), func(name string) bool { return !strings.HasPrefix(name, "apiwarden-bench-") })
		switch {
		case len(left) == 0:
			return
		case time.Now().After(deadline):
			t.Errorf("topics are left: %v", left)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestBenchInterrupted interrupts a run and looks whether it has ended what it
// started.
func TestBenchInterrupted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skipf("processes are looked for in /proc, which is absent on %s", runtime.GOOS)
	}
	broker, dir := benchTestBroker(t), t.TempDir()
	cmd := exec.Command(builtBinary(t), "bench", "--brokers", broker, "--only", "latency")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended already unless the test failed
	})
	deadline := time.Now().Add(time.Minute)
	for len(processesWith(t, dir)) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("no child process was started:\n%s", stderr.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != statusFailed || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("ended with %v:\n%s", err, stderr.String())
	}
	if left := processesWith(t, dir); len(left) > 0 {
		t.Errorf("still running: %q", left)
	}
	checkNoTopics(t, broker)
}

// processesWith gives the command lines of processes that name dir, where the system
// shows them as Linux does.
func processesWith(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte(dir)) {
			found = append(found, string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})))
		}
	}
	return found
}

func TestBenchReportRoundTrip(t *testing.T) {
	want := benchReport{
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Version: "v1", Commit: "c", Go: "go1", OS: "linux/amd64", CPU: "a processor", CPUs: 2, Kafka: "k", Quick: true,
		Measures: []measure{
			{Section: "raw", ID: "raw_rate", What: "plain consume", Value: 1.5e6, Unit: "events/s"},
			atLeast(50, measure{Section: "detect", ID: "detect_ratio_6", What: "of it", Value: 49, Unit: "%"}),
			atMost(200, measure{Section: "memory", ID: "memory_resident", What: "memory", Value: 118.25, Unit: "B"}),
		},
		Curves: []curve{{ID: "c", Title: "t", X: axis{Label: "x", Log: true}, Y: axis{Label: "y"}, Series: []series{{Name: "s", Points: []point{{1, 2}, {3, 4}}}}}},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got benchReport
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got, want := want.Measures[1].verdict(), "≥ 50  MISSED"; got != want {
		t.Errorf("verdict is %q, want %q", got, want)
	}
	if got, want := want.Measures[2].verdict(), "≤ 200  met"; got != want {
		t.Errorf("verdict is %q, want %q", got, want)
	}
}

func TestBenchEventsHaveOneLength(t *testing.T) {
	for _, s := range []eventStream{
		{addresses: 5_000_000, step: time.Millisecond, attackers: true},
		{addresses: 10, step: time.Microsecond, untimed: true},
		{addresses: 1000, endpoints: 100, roam: true},
		{addresses: 100_000, inOrder: true},
	} {
		var line []byte
		for i := range 20_000 {
			if line = s.append(line[:0], i); len(line) != benchEventBytes || !json.Valid(line) {
				t.Fatalf("%+v: event %d has %d bytes: %s", s, i, len(line), line)
			}
		}
	}
}

func TestBenchAddressesDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for i := range 200_000 {
		seen[benchAddress(i).String()] = true
	}
	if len(seen) != 200_000 {
		t.Errorf("%d addresses of 200,000 clients", len(seen))
	}
}

func TestQuantileOf(t *testing.T) {
	ten := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, c := range []struct {
		sorted  []float64
		q, want float64
	}{
		{ten, 0.5, 5.5}, {ten, 0.9, 9}, {ten, 0.99, 10}, {ten, 1, 10}, {ten, 0, 1},
		{[]float64{1, 2, 3}, 0.5, 2}, {[]float64{7}, 0.999, 7},
	} {
		if got := quantileOf(c.sorted, c.q); got != c.want {
			t.Errorf("quantile %v of %v is %v, want %v", c.q, c.sorted, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestSumMetrics(t *testing.T) {
	got := sumMetrics([]byte("# HELP a b c\n# TYPE a counter\na{rule=\"x y\",b=\"}\"} 2\na{rule=\"z\"} 3.5\nb 1e+06\n\nbroken\n"))
	if d := cmp.Diff(map[string]float64{"a": 5.5, "b": 1e6}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestParsePeer(t *testing.T) {
	got, err := parsePeer("flink-deque events=2000000 seconds=13.0 events_per_s=153846 cpu_s=30.7 events_per_cpu_s=65146 rss_mb=2240\n")
	if want := (peerResult{rate: 153846, perCPU: 65146, residentMB: 2240}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parsePeer("flink-deque gave no result: killed"); err == nil {
		t.Error("no result is no error")
	}
}
