package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// bans runs `apiwarden bans` against the site and gives its output.
func (s *site) bans(args ...string) string {
	s.t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(builtBinary(s.t), append([]string{"bans"}, append(args, "--config", s.config)...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("bans %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// TestBansByHand bans, unbans and exempts from the command line, on a real Kafka with
// `apiwarden run`, and finds the audit in the real ClickHouse engine.
func TestBansByHand(t *testing.T) {
	s := startSite(t, "version: 1\nrules: [{id: volume, type: usage, threshold: 3, window: 1h, action: ban}]\n", "", 2)
	listed := func(subject, text string) func() bool {
		return func() bool {
			for line := range strings.Lines(s.bans("list")) {
				if strings.Contains(line, " "+subject+" ") {
					return text != "" && strings.Contains(line, text)
				}
			}
			return text == ""
		}
	}
	out := s.bans("add", "192.0.2.7", "--for", "2h", "--reason", "ticket 4711", "--by", "anna")
	if !strings.HasPrefix(out, "banned ip 192.0.2.7 until ") || strings.Count(out, "\n") != 1 {
		t.Errorf("bans add says %q", out)
	}
	s.eventually("the ban by hand", listed("192.0.2.7", "manual"))
	s.eventually("its reason", listed("192.0.2.7", "ticket 4711"))

	var records []*kgo.Record
	for range 4 {
		records = append(records, &kgo.Record{Key: []byte("192.0.2.8"), Value: []byte(`{"client_ip":"192.0.2.8","method":"GET","path":"/","status":200}`)})
	}
	s.produce(records)
	s.eventually("the ban by a rule", listed("192.0.2.8", "volume"))
	if out := s.bans("remove", "192.0.2.8"); !strings.HasPrefix(out, "unbanned ip 192.0.2.8 (") {
		t.Errorf("bans remove says %q", out)
	}
	s.eventually("the end of the rule's ban", listed("192.0.2.8", ""))

	var said struct {
		Op, By, Topic, Scope, Value string
		ExpiresAt                   *time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(s.bans("exempt", "192.0.2.0/29", "--json")), &said); err != nil {
		t.Fatal(err)
	}
	if said.Op != "exempt" || said.By == "" || said.Topic != s.name+"-control" || said.Scope != "range" || said.Value != "192.0.2.0/29" || said.ExpiresAt != nil {
		t.Errorf("bans exempt --json says %+v", said)
	}
	s.eventually("the end of the ban by hand", listed("192.0.2.7", ""))
	if out := s.bans("list", "--exempt"); !strings.Contains(out, "192.0.2.0/29") || strings.Contains(out, "192.0.2.7") {
		t.Errorf("bans list --exempt says %q", out)
	}
	s.bans("unexempt", "192.0.2.0/29")
	s.eventually("the ban by hand again", listed("192.0.2.7", "manual"))
	if out := s.bans("list", "--exempt"); out != "nobody is exempt by hand\n" {
		t.Errorf("bans list --exempt says %q", out)
	}
	s.bans("add", "--scope", "user", "anna b")
	s.eventually("the audit in ClickHouse", func() bool { return s.number("SELECT count() FROM {db}.controls FINAL") == 5 })
	got := s.query("SELECT scope, value, op, for_s, reason, by = 'anna', dateDiff('second', at, expires_at), abs(dateDiff('second', at, record_time)) < 60 FROM {db}.controls FINAL ORDER BY at FORMAT TSV")
	want := strings.Join([]string{
		"ip\t192.0.2.7\tban\t7200\tticket 4711\t1\t7200\t1",
		`ip	192.0.2.8	unban	\N		0	\N	1`,
		`range	192.0.2.0/29	exempt	\N		0	\N	1`,
		`range	192.0.2.0/29	unexempt	\N		0	\N	1`,
		`user	anna b	ban	\N		0	3600	1`,
	}, "\n")
	if strings.TrimSpace(got) != want {
		t.Errorf("the audit holds\n%s\nwant\n%s", got, want)
	}
}
