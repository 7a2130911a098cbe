package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

func TestPrintLearned(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	since := schemas.Micros(at.Add(-48 * time.Hour).UnixMicro())
	newest := schemas.Micros(at.Add(-time.Minute).UnixMicro())
	learned := []detector.LearnedEndpoint{
		{
			Endpoint: "GET /a", Ready: true, Since: since, Newest: newest, Requests: 12, Rate: &detector.LearnedRange{Usual: 12.34, Least: 3, Most: 1540, Samples: 500},
			Clients: &detector.LearnedRange{Usual: 7, Least: 1, Most: 90}, ServerErrors: &detector.LearnedRange{Usual: 0.012, Most: 0.5},
			Latency:  &detector.LearnedLatency{P50: 12.5, P95: 40, P99: 151.2},
			Sizes:    []detector.LearnedSize{{Metric: detector.MetricRequest, P9999: 8100}, {Metric: detector.MetricQuery, P9999: 120}},
			Episodes: []detector.LearnedOpen{{Rule: "slow", Of: "latency", Since: newest}},
		},
		{Endpoint: "GET /b", Pooled: true, Since: since, Newest: newest, Requests: 0.25},
		{Endpoint: "GET /c", Since: since, Newest: newest, Requests: 3},
	}
	var b bytes.Buffer
	if err := printLearned(&b, learned, at); err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for line := range strings.Lines(b.String()) {
		var cells []string
		for cell := range strings.SplitSeq(strings.TrimSpace(line), "  ") {
			if cell = strings.TrimSpace(cell); cell != "" {
				cells = append(cells, cell)
			}
		}
		got = append(got, cells)
	}
	want := [][]string{
		{"ENDPOINT", "REQUESTS/MIN", "CLIENTS/5MIN", "4XX", "5XX", "P50", "P95", "P99", "LARGEST", "SINCE", "NEWEST", "STATE"},
		{"GET /a", "12.3 (3 to 1,540)", "7 (1 to 90)", "-", "1.20% (0 to 50%)", "12.5 ms", "40 ms", "151 ms", "request 8.1 kB, query 120 B", "2025-12-31 03:04:05", "1 minute ago", "slow: latency since 2026-01-02 03:03:05"},
		{"GET /b", "0.25", "-", "-", "-", "-", "-", "-", "-", "2025-12-31 03:04:05", "1 minute ago", "pooled"},
		{"GET /c", "3", "-", "-", "-", "-", "-", "-", "-", "2025-12-31 03:04:05", "1 minute ago", "learning"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, b.String())
	}
}

// TestLatencyThroughKafkaIntoClickHouse has an endpoint become slow, whose clients are
// spread over four partitions, on a real Kafka with `apiwarden run`: one episode is in
// ClickHouse, and what was learned can be shown.
func TestLatencyThroughKafkaIntoClickHouse(t *testing.T) {
	s := newSite(t, siteOptions{
		rules: "version: 1\nrules: [{id: slow, type: latency, action: alert}]\n", partitions: 4, more: "state: {interval: 2s, stats_grace: 5s}\n",
	})
	s.start()
	t.Cleanup(s.stop)
	s.eventually("ready", func() bool { return answersReady(s.http) })
	rnd := rand.New(rand.NewPCG(7, 8))
	begin := time.Now().Add(-time.Hour)
	var records []*kgo.Record
	for n := range 20 * 60 * 10 { // ten a second
		path, ms := "/a", 20*math.Exp(rnd.NormFloat64()/4)
		switch minute := n / 600; {
		case n%2 == 1:
			path, ms = "/b", ms/4
		case minute >= 12 && minute < 15:
			ms *= 8
		}
		ip := fmt.Sprintf("192.0.2.%d", rnd.IntN(250))
		records = append(records, &kgo.Record{Key: []byte(ip), Value: fmt.Appendf(nil, `{"timestamp":%d,"client_ip":%q,"method":"GET","path":%q,"status":200,"latency_ms":%g}`,
			begin.Add(time.Duration(n)*100*time.Millisecond).UnixMilli(), ip, path, ms)})
	}
	s.produce(records)
	s.caughtUp(len(records))
	s.eventually("the end of the episode", func() bool {
		return s.number("SELECT count() FROM {db}.verdicts FINAL WHERE phase = 'close'") > 0
	})
	if got := s.query("SELECT subject, phase, uniqExact(episode_id), scope, rule_type FROM {db}.verdicts FINAL GROUP BY ALL ORDER BY phase FORMAT CSV"); got != "\"GET /a\",\"close\",1,\"endpoint\",\"latency\"\n\"GET /a\",\"open\",1,\"endpoint\",\"latency\"" {
		t.Errorf("the verdicts are %s", got)
	}
	show := func(args ...string) string {
		t.Helper()
		var stderr bytes.Buffer
		cmd := exec.Command(builtBinary(t), append([]string{"baseline", "show", "--config", s.config}, args...)...)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("baseline show %v: %v\n%s", args, err, stderr.String())
		}
		return string(out)
	}
	s.eventually("both endpoints in what was learned", func() bool { return strings.Count(show(), "\nGET /") == 2 })
	var e detector.LearnedEndpoint
	if err := json.Unmarshal([]byte(show("--endpoint", "GET /b", "--json")), &e); err != nil {
		t.Fatal(err)
	}
	if l := e.Latency; e.Endpoint != "GET /b" || l == nil || l.P50 < 3 || l.P50 > 8 {
		t.Errorf("of GET /b is known %+v", e)
	}
}
