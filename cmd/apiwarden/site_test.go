package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

// site is `apiwarden run` as a user starts it, on a real Kafka and the real
// ClickHouse engine, with topics, a group and a database of its own.
type site struct {
	t          *testing.T
	name       string // of the group, and before the name of each topic
	database   string
	clickhouse string
	kafka      *kgo.Client
	brokers    []string
	http       string
	config     string
	rules      string // the file
	process    *exec.Cmd
	log        *bytes.Buffer
}

// siteOptions say what a site is like.
type siteOptions struct {
	rules      string
	preset     string
	partitions int
	broker     string // "": the shared one
	clickhouse string // "": the shared one
	kafka      string // further keys of the section kafka, as in ", replication: 3"
	more       string // further sections
}

// startSite starts `apiwarden run` with the rules and waits until it is ready. Its
// topics have the number of partitions.
func startSite(t *testing.T, rules, preset string, partitions int) *site {
	t.Helper()
	s := newSite(t, siteOptions{rules: rules, preset: preset, partitions: partitions})
	s.start()
	t.Cleanup(s.stop)
	s.eventually("ready", func() bool { return answersReady(s.http) })
	return s
}

// newSite makes all of a site but its process.
func newSite(t *testing.T, o siteOptions) *site {
	t.Helper()
	s := &site{
		t: t, clickhouse: o.clickhouse, http: freeAddress(t), log: &bytes.Buffer{},
		name: fmt.Sprintf("t%d-%d", os.Getpid(), time.Now().UnixNano()),
	}
	if o.broker == "" {
		o.broker = dev.Kafka(t)
	}
	if s.clickhouse == "" {
		s.clickhouse = dev.ClickHouse(t)
	}
	s.database = dev.Database(t, s.clickhouse)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	s.rules = write("rules.yaml", o.rules)
	s.config = write("apiwarden.yaml", fmt.Sprintf(`
kafka: {brokers: [%[1]s], group: %[2]s, partitions: %[3]d%[8]s}
topics: {logs: %[2]s-logs, verdicts: %[2]s-verdicts, bans: %[2]s-bans, dlq: %[2]s-dlq, state: %[2]s-state,
  control: %[2]s-control, endpoint_stats: %[2]s-stats, events: %[2]s-events}
input: {preset: %[4]q}
rules: rules.yaml
clickhouse: {addresses: [%[5]q], protocol: http, database: %[6]s}
http: {listen: %[7]s}
%[9]s`, o.broker, s.name, o.partitions, o.preset, s.clickhouse, s.database, s.http, o.kafka, o.more))
	s.brokers = strings.Split(o.broker, ",")
	var err error
	if s.kafka, err = kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ProducerBatchMaxBytes(8<<20)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kafka.Close)
	return s
}

// answersReady asks a process whether it is ready.
func answersReady(address string) bool {
	resp, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// start starts the process, for the first time or again.
func (s *site) start() {
	s.t.Helper()
	s.process = exec.Command(builtBinary(s.t), "run", "--config", s.config)
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// stop ends the process as an operator would, and wants it to end well.
func (s *site) stop() {
	if s.process.ProcessState != nil {
		return
	}
	s.process.Process.Signal(syscall.SIGTERM)
	if err := s.process.Wait(); err != nil {
		s.t.Errorf("stopping: %v", err)
	}
	if s.t.Failed() {
		text := s.log.String()
		s.t.Logf("the log of %s ends:\n%s", s.name, text[max(0, len(text)-4000):])
	}
}

// eventually waits for something to come true.
func (s *site) eventually(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if holds() {
			return
		}
	}
	s.t.Fatalf("waited in vain: %s", what)
}

// produce sends the records to the topic of log events.
func (s *site) produce(records []*kgo.Record) {
	s.t.Helper()
	for _, r := range records {
		r.Topic = s.name + "-logs"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := s.kafka.ProduceSync(ctx, records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

// records says how many records a topic has.
func (s *site) records(topic string) int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(s.kafka).ListEndOffsets(ctx, s.name+"-"+topic)
	if err != nil || ends.Error() != nil {
		s.t.Fatal(err, ends.Error())
	}
	n := int64(0)
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return int(n)
}

// query asks the site's database; {db} stands for its name.
func (s *site) query(sql string) string {
	s.t.Helper()
	return dev.Query(s.t, s.clickhouse, strings.ReplaceAll(sql, "{db}", s.database))
}

func (s *site) number(sql string) int {
	s.t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s.query(sql)))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// caughtUp waits until ClickHouse has so many events and every verdict.
func (s *site) caughtUp(events int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d events in ClickHouse", events), func() bool {
		return s.number("SELECT count() FROM {db}.events") >= events
	})
	s.eventually("every verdict in ClickHouse", func() bool {
		return s.number("SELECT count() FROM {db}.verdicts FINAL") >= s.records("verdicts")
	})
}
