package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/schemas"
)

// fakeKafka is a broker inside this process.
func fakeKafka(t *testing.T) string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return strings.Join(cluster.ListenAddrs(), ",")
}

// topicName is a name that no other test uses on a shared broker.
func topicName(t *testing.T) string {
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano())
}

// readTopic gives all records of a topic.
func readTopic(t *testing.T, brokers, topic string, want int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	var there int64
	ends.Each(func(o kadm.ListedOffset) { there += o.Offset })
	if there != int64(want) {
		t.Fatalf("topic %s holds %d records, want %d", topic, there, want)
	}
	var records []*kgo.Record
	for len(records) < want {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// program runs the built program and gives what it printed.
func program(t *testing.T, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), builtBinary(t), args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("apiwarden %s: %v\n%s", strings.Join(args, " "), err, &errOut)
	}
	return out.String(), errOut.String()
}

const someLines = `{"client_ip":"192.0.2.7","method":"GET","path":"/a","status":200}
{"client_ip":"::ffff:192.0.2.7","method":"GET","path":"/b","status":200}
not an event
{"client_ip":"2001:DB8:0::1","method":"GET","path":"/c","status":200}` + "\r\n\n" + `{"client_ip":"192.0.2.8","method":"GET","path":"/d","status":404}`

func TestProduce(t *testing.T) {
	for name, brokers := range map[string]func(*testing.T) string{
		"kfake":        fakeKafka,
		"apache kafka": func(t *testing.T) string { return dev.Kafka(t) },
	} {
		t.Run(name, func(t *testing.T) {
			addr, topic := brokers(t), strings.ReplaceAll(topicName(t), " ", "-")
			file := writeFile(t, "events.jsonl", someLines)
			stdout, stderr := program(t, "", "produce", "--brokers", addr, "--topic", topic, "--loop", "2", file)
			if !strings.HasPrefix(stdout, "produced 8 records to "+topic) || !strings.Contains(stdout, "4 bad lines skipped (json 4)") {
				t.Errorf("summary: %q", stdout)
			}
			for _, line := range []string{":3: skipped: bad record: json", ":5: skipped: bad record: json"} {
				if strings.Count(stderr, line) != 2 {
					t.Errorf("standard error does not show %q twice:\n%s", line, stderr)
				}
			}
			var got []string
			for _, r := range readTopic(t, addr, topic, 8) {
				if age := time.Since(r.Timestamp); age > time.Minute || age < -time.Minute {
					t.Errorf("record timestamp %s is not now", r.Timestamp)
				}
				got = append(got, string(r.Key)+" "+string(r.Value))
			}
			slices.Sort(got)
			var want []string
			for _, line := range []string{
				`192.0.2.7 {"client_ip":"192.0.2.7","method":"GET","path":"/a","status":200}`,
				`192.0.2.7 {"client_ip":"::ffff:192.0.2.7","method":"GET","path":"/b","status":200}`,
				`192.0.2.8 {"client_ip":"192.0.2.8","method":"GET","path":"/d","status":404}`,
				`2001:db8::1 {"client_ip":"2001:DB8:0::1","method":"GET","path":"/c","status":200}`,
			} {
				want = append(want, line, line)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("records (-want +got):\n%s", d)
			}
		})
	}
}

func TestProduceTextFromStdinAtRate(t *testing.T) {
	addr, topic := fakeKafka(t), topicName(t)
	line := `192.0.2.7 - - [01/Jan/2026:00:00:00 +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8"` + "\n"
	began := time.Now()
	stdout, _ := program(t, strings.Repeat(line, 51), "produce", "--brokers", addr, "--topic", topic, "--preset", "combined", "--rate", "100", "-")
	if took := time.Since(began); took < 450*time.Millisecond {
		t.Errorf("51 records at 100 a second took %s", took)
	}
	if !strings.HasPrefix(stdout, "produced 51 records") {
		t.Errorf("summary: %q", stdout)
	}
	r := readTopic(t, addr, topic, 51)[0]
	if string(r.Key) != "192.0.2.7" || string(r.Value)+"\n" != line {
		t.Errorf("record %q %q", r.Key, r.Value)
	}
}

func TestBansList(t *testing.T) {
	addr := fakeKafka(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, "api-bans"); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ban := func(value string, lasts time.Duration) *kgo.Record {
		b := schemas.Ban{
			Scope: schemas.ScopeIP, Value: value, Action: schemas.ActionBan, RuleIDs: []string{"volume"}, Reason: "too many requests",
			Since: schemas.Micros(now.UnixMicro()), ExpiresAt: schemas.Micros(now.Add(lasts).UnixMicro()),
		}
		return &kgo.Record{Topic: "api-bans", Key: []byte(schemas.BanKey(b.Scope, value)), Value: schemas.AppendBan(nil, &b)}
	}
	ended := ban("192.0.2.9", time.Hour)
	if err := cl.ProduceSync(t.Context(), ban("192.0.2.7", time.Hour), ended, ban("192.0.2.8", -time.Hour),
		&kgo.Record{Topic: "api-bans", Key: ended.Key}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	table, _ := program(t, "", "bans", "list", "--brokers", addr)
	if !strings.Contains(table, "192.0.2.7") || !strings.Contains(table, "volume") || strings.Count(table, "\n") != 2 {
		t.Errorf("table:\n%s", table)
	}
	lines, _ := program(t, "", "bans", "list", "--brokers", addr, "--json")
	if !strings.Contains(lines, `"value":"192.0.2.7"`) || strings.Count(lines, "\n") != 1 {
		t.Errorf("JSON lines:\n%s", lines)
	}
}
