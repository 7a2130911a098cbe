package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/consumer"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// verified runs verify as a user does and wants its exit status.
func (s *site) verified(status int, flags ...string) *consumer.VerifyReport {
	s.t.Helper()
	var out, log bytes.Buffer
	cmd := exec.Command(builtBinary(s.t), append([]string{"verify", "--config", s.config, "--json"}, flags...)...)
	cmd.Stdout, cmd.Stderr = &out, &log
	got := 0
	if err := cmd.Run(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			s.t.Fatal(err)
		}
		got = exit.ExitCode()
	}
	var r consumer.VerifyReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		s.t.Fatalf("the report cannot be read: %v\n%s\n%s", err, out.String(), log.String())
	}
	if got != status {
		s.t.Errorf("verify ended with status %d, want %d: %+v %+v", got, status, r.Places, r.Findings[:min(3, len(r.Findings))])
	}
	return &r
}

// TestVerifyKafkaAndClickHouse verifies what `run` has made of a log, and then what somebody
// has made of that.
func TestVerifyKafkaAndClickHouse(t *testing.T) {
	const rules = `version: 1
subject: {ipv6_prefix: 64}
rules:
  - {id: volume, type: usage, threshold: 20, window: 1h, action: ban, ban_for: 1m, tags: [a, b], message: "slow \"down\""}
  - {id: paths, type: distinct, field: path, threshold: 6, window: 10m, emit: every}
  - {id: failures, type: ratio, pattern: "status:>=400", min_volume: 5, threshold: 0.3, window: 10m, action: throttle}
%s`
	for _, c := range []struct{ name, rekey, more string }{
		{"keyed by the client", "false", ""},
		{"keyed anew", "true", "  - {id: per-user, type: usage, threshold: 15, window: 1h, key: user_id, action: ban, ban_for: 1m}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("APIWARDEN_INPUT_REKEY", c.rekey)
			const events = 20_000
			s := startSite(t, fmt.Sprintf(rules, c.more), "", 4)
			rnd := rand.New(rand.NewPCG(7, 8))
			begin := time.Now().Add(-time.Hour).UnixMilli()
			var records []*kgo.Record
			for n := range events {
				ip := fmt.Sprintf("192.0.2.%d", rnd.IntN(250))
				if rnd.IntN(3) == 0 {
					ip = fmt.Sprintf("2001:db8:0:%x::1", rnd.IntN(200))
				}
				line := fmt.Appendf(nil, `{"timestamp":%d,"client_ip":%q,"method":"GET","path":"/x/%c","status":%d,"user_id":"u%d"}`,
					begin+int64(n*50), ip, 'a'+rnd.IntN(8), 200+201*rnd.IntN(2), rnd.IntN(300))
				records = append(records, &kgo.Record{Key: []byte(ip), Value: line})
			}
			s.produce(records)
			s.caughtUp(events)
			var r *consumer.VerifyReport
			s.eventually("everything to be committed", func() bool {
				r = s.verified(statusDone)
				return r.Events >= events && len(r.Places) == 2 && r.Places[1].Compared == r.Expected
			})
			for _, p := range r.Places {
				if p.Compared != r.Expected || p.Unknown+p.Foreign != 0 || p.Compared < 1000 {
					t.Errorf("of %d verdicts %+v", r.Expected, p)
				}
			}
			t.Logf("%d events, %d verdicts, %.0f events/s", r.Events, r.Expected, r.EventsPerS)

			id := strings.TrimSpace(s.query("SELECT any(verdict_id) FROM {db}.verdicts WHERE rule_id = 'paths'"))
			s.query("INSERT INTO {db}.verdicts SELECT * REPLACE (count + 1 AS count) FROM {db}.verdicts FINAL WHERE verdict_id = '" + id + "'")
			s.query("INSERT INTO {db}.verdicts SELECT * REPLACE ('" + strings.Repeat("ab", 16) + "' AS verdict_id) FROM (SELECT * FROM {db}.verdicts FINAL WHERE verdict_id = '" + id + "')")
			lost := s.number("SELECT count() FROM {db}.verdicts FINAL WHERE rule_id = 'volume'")
			s.query("DELETE FROM {db}.verdicts WHERE rule_id = 'volume' SETTINGS mutations_sync = 2")
			r = s.verified(statusFailed)
			if p := r.Places[0]; p.Missing+p.Extra+p.Different != 0 {
				t.Errorf("on the topic nothing has changed: %+v", p)
			}
			if p := r.Places[1]; p.Missing != int64(lost) || lost == 0 || p.Extra != 1 || p.Different != 1 {
				t.Errorf("%d rows were deleted, one added, one changed: %+v", lost, p)
			}
			if s.verified(statusDone, "--clickhouse=false"); t.Failed() {
				return
			}
			s.verified(statusDone, "--to", time.Now().Add(-24*time.Hour).Format(time.RFC3339))

			v := schemas.Verdict{VerdictID: strings.Repeat("cd", 16), Subject: "192.0.2.1", RecordTime: new(schemas.Micros), Trigger: &schemas.Position{Topic: s.name + "-logs"}}
			*v.RecordTime, v.EventTime = schemas.Micros(time.Now().UnixMicro()), schemas.Micros(time.Now().UnixMicro())
			forged := sink.VerdictRecord(s.name+"-verdicts", &v)
			if err := s.kafka.ProduceSync(t.Context(), forged).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if r := s.verified(statusFailed, "--clickhouse=false"); r.Places[0].Extra != 1 {
				t.Errorf("a verdict was forged: %+v", r.Places[0])
			}
		})
	}
}

func TestRangeOfVerify(t *testing.T) {
	now := time.Date(2026, 1, 8, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		text string
		want time.Time // zero: refused
	}{
		{"24h", now.Add(-24 * time.Hour)}, {"7d", now.Add(-7 * 24 * time.Hour)},
		{"2026-01-02T03:04:05Z", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, {"yesterday", time.Time{}},
	} {
		o := verifyFlags{from: c.text}
		got, err := o.options(&cobra.Command{}, now)
		if !got.From.Equal(c.want) || (err != nil) != c.want.IsZero() {
			t.Errorf("--from %s is %v, %v, want %v", c.text, got.From, err, c.want)
		}
	}
}

func TestVerifyIsPrinted(t *testing.T) {
	at := schemas.Micros(1)
	r := &consumer.VerifyReport{
		Topic: "api-logs", Events: 1000, Seconds: 0.5, EventsPerS: 2000, Expected: 9, Differences: 30,
		Places: []consumer.VerifiedPlace{{Name: "api-verdicts", Compared: 8, Missing: 30}},
		Partitions: []consumer.VerifiedPartition{{From: 1, Until: 9, InForce: []consumer.InForce{
			{Offset: 1, At: &at, Rules: "abc", Bytes: 1 << 20, Endpoints: 5}, {Offset: 3, At: &at, Subject: "ip:192.0.2.1", Control: &schemas.Control{Op: schemas.OpBan, By: "anna"}},
		}}},
		RuleSets: map[string][]string{"abc": {"volume", "paths"}}, Notes: []string{"ClickHouse is not compared"},
		Findings: []consumer.Finding{{Kind: consumer.FoundDifferent, Place: "api-verdicts", RuleID: "volume", Scope: schemas.ScopeIP, Subject: "192.0.2.1", VerdictID: "id",
			At: "api-verdicts/0@7", Fields: []consumer.FieldDifference{{Field: "count", Want: []byte("3"), Got: []byte("4")}, {Field: "tags", Want: []byte("[]")}}}},
	}
	var out strings.Builder
	if err := printVerified(&out, r, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1,000 events of api-logs", "9 verdicts", "rules abc: volume, paths", "1.0 MiB and 5 endpoints a shard", "ban ip:192.0.2.1 by anna",
		"count is 4, the log gives 3", "tags is absent, the log gives []", "found at api-verdicts/0@7", "and 29 more", "note: ClickHouse is not compared", "30 differences"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
