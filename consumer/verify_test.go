package consumer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// manyVerdicts decide about most clients of crowd.
const manyVerdicts = `
version: 1
rules:
  - {id: volume, type: usage, threshold: 3, window: 1m, action: ban, ban_for: 10s}
  - {id: busy, type: frequency, max_frequency: 0.05, window: 1m, emit: every, action: throttle}
  - {id: paths, type: distinct, field: path, threshold: 2, window: 1m, group_by: [subject]}
`

// verify runs a Verify.
func (s *site) verify(t *testing.T, rules string, o VerifyOptions, more ...kgo.Opt) *VerifyReport {
	t.Helper()
	v, err := NewVerify(s.cfg, o, Deps{Program: program(t, rules), Log: zap.NewNop(), Kafka: append([]kgo.Opt{kgo.Dialer(s.net.DialContext)}, more...)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// crowd puts n events of a few clients, in batches, within a minute of fake time.
func (s *site) crowd(t *testing.T, rnd *rand.Rand, n int) {
	t.Helper()
	for range 10 {
		var recs []*kgo.Record
		for range n / 10 {
			ip := fmt.Sprintf("192.0.2.%d", rnd.IntN(60))
			recs = append(recs, &kgo.Record{Topic: s.cfg.Topics.Logs, Key: []byte(ip), Value: []byte(event(ip, fmt.Sprint("/", 'a'+rnd.IntN(4))))})
		}
		if err := s.cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
	}
}

// wantPlace wants a place's counts, and some verdicts to be compared.
func wantPlace(t *testing.T, r *VerifyReport, missing, extra, different int64) {
	t.Helper()
	if len(r.Places) == 0 {
		t.Fatalf("nothing was compared: %v", r.Notes)
	}
	p := r.Places[0]
	if p.Missing != missing || p.Extra != extra || p.Different != different {
		t.Errorf("%d missing, %d extra, %d different, want %d, %d and %d: %s", p.Missing, p.Extra, p.Different, missing, extra, different, shortly(r.Findings))
	}
	if want := missing + extra + different; r.Differences != want || len(r.Findings) != int(min(want, maxFindings)) {
		t.Errorf("%d differences, %d findings, want %d", r.Differences, len(r.Findings), want)
	}
	if p.Compared == 0 && p.Unknown == 0 {
		t.Error("no verdict was compared")
	}
}

// shortly gives a few findings as JSON.
func shortly(findings []Finding) string {
	b, err := json.Marshal(findings[:min(3, len(findings))])
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestVerifyAgrees verifies what restarts, other rules, other bounds and people have had a
// part in.
func TestVerifyAgrees(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(20 * time.Second)
		rnd := rand.New(rand.NewPCG(1, 2))
		d := s.detect(t, manyVerdicts)
		s.crowd(t, rnd, 1000)
		s.say(t, schemas.OpExempt, schemas.ScopeRange, "192.0.2.0/29")
		s.say(t, schemas.OpBan, schemas.ScopeIP, "192.0.2.20")
		s.crowd(t, rnd, 1000)
		s.say(t, schemas.OpUnexempt, schemas.ScopeRange, "192.0.2.0/29")
		other := strings.Replace(manyVerdicts, "threshold: 3", "threshold: 4", 1)
		if err := d.Adopt(program(t, other)); err != nil {
			t.Fatal(err)
		}
		s.crowd(t, rnd, 1000)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		s.cfg.State.MaxEndpoints = 2
		s.detect(t, manyVerdicts)
		s.crowd(t, rnd, 1000)
		time.Sleep(5 * time.Second)

		r := s.verify(t, other, VerifyOptions{})
		wantPlace(t, r, 0, 0, 0)
		if n := len(s.verdicts(t)); int(r.Places[0].Compared) != n || r.Places[0].Unknown+r.Places[0].Foreign != 0 || n < 500 {
			t.Errorf("of %d verdicts %+v", n, r.Places[0])
		}
		if r.Events != 4000 {
			t.Errorf("%d events were judged", r.Events)
		}
		kinds := make(map[string]bool)
		for _, f := range r.Partitions[0].InForce {
			kinds[fmt.Sprintf("%t %t %s", f.Rules != "", f.Bytes != 0, f.Subject)] = true
		}
		for _, want := range []string{"true true ", "true false ", "false true ", "false false range:192.0.2.0/29", "false false ip:192.0.2.20"} {
			if !kinds[want] {
				t.Errorf("in force were %v, no %s", kinds, want)
			}
		}
		if len(r.RuleSets) != 2 {
			t.Errorf("rule sets: %v", r.RuleSets)
		}

		// The same log by one mind alone is another one.
		if _, err := s.adm.DeleteTopics(t.Context(), s.cfg.Topics.State); err != nil {
			t.Fatal(err)
		}
		if r := s.verify(t, manyVerdicts, VerifyOptions{}); r.Differences == 0 || len(r.Notes) == 0 {
			t.Errorf("without a journal there are %d differences and the notes %v", r.Differences, r.Notes)
		}
	})
}

// TestVerifyByTheConfiguration: nothing was journaled, and the rules have not changed.
func TestVerifyByTheConfiguration(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, manyVerdicts)
		s.crowd(t, rand.New(rand.NewPCG(13, 14)), 1000)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.adm.DeleteTopics(t.Context(), s.cfg.Topics.State); err != nil {
			t.Fatal(err)
		}
		r := s.verify(t, manyVerdicts, VerifyOptions{})
		wantPlace(t, r, 0, 0, 0)
		if len(r.RuleSets) != 1 || r.Partitions[0].InForce[0].At != nil || !strings.Contains(strings.Join(r.Notes, " "), s.cfg.Topics.State) {
			t.Errorf("rule sets %v, notes %v, in force %+v", r.RuleSets, r.Notes, r.Partitions[0].InForce)
		}
	})
}

// TestVerifyFindsWhatWasTamperedWith takes verdicts away, alters and invents some.
func TestVerifyFindsWhatWasTamperedWith(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, manyVerdicts)
		s.crowd(t, rand.New(rand.NewPCG(3, 4)), 1000)
		time.Sleep(5 * time.Second)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		whole := s.read(t, s.cfg.Topics.Verdicts)
		middle, first, last := recordTimes(t, whole)
		fill := func(records []*kgo.Record) {
			t.Helper()
			if _, err := s.adm.DeleteTopics(t.Context(), s.cfg.Topics.Verdicts); err != nil {
				t.Fatal(err)
			}
			if err := sink.EnsureTopics(t.Context(), s.cl, s.cfg.Kafka, s.cfg.Topics, zap.NewNop()); err != nil {
				t.Fatal(err)
			}
			var again []*kgo.Record
			for _, r := range records {
				again = append(again, &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value})
			}
			cl := s.client(t) // one that knows no topic of that name
			defer cl.Close()
			if err := cl.ProduceSync(t.Context(), again...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		changed := func(change func(v *schemas.Verdict)) []*kgo.Record {
			var v schemas.Verdict
			if err := schemas.DecodeVerdict(whole[7].Value, &v); err != nil {
				t.Fatal(err)
			}
			change(&v)
			out := slices.Clone(whole)
			out[7] = sink.VerdictRecord(s.cfg.Topics.Verdicts, &v)
			return out
		}
		for _, c := range []struct {
			name                      string
			records                   []*kgo.Record
			missing, extra, different int64
			fields                    string
		}{
			{name: "nothing", records: whole},
			{name: "another order", records: reversed(whole)},
			{name: "twice", records: append(slices.Clone(whole), whole[:10]...)},
			{name: "detected at another time", records: changed(func(v *schemas.Verdict) { v.DetectedAt++ })},
			{name: "one is gone", records: whole[1:], missing: 1},
			{name: "all are gone", missing: int64(len(whole))},
			{name: "a count", records: changed(func(v *schemas.Verdict) { v.Count++ }), different: 1, fields: "count"},
			{name: "action and evidence", records: changed(func(v *schemas.Verdict) { v.ActionTaken, v.Evidence.FromTime = "log", 1 }), different: 1, fields: "action_taken evidence"},
			{name: "an invented one", records: append(changed(func(v *schemas.Verdict) { v.VerdictID = strings.Repeat("0123", 8) }), whole[7]), extra: 1},
			{name: "another id", records: changed(func(v *schemas.Verdict) { v.VerdictID = "x" }), extra: 1, missing: 1},
			{name: "no verdict", records: append(slices.Clone(whole), &kgo.Record{Topic: s.cfg.Topics.Verdicts, Value: []byte("{")}), extra: 1},
		} {
			fill(c.records)
			r := s.verify(t, manyVerdicts, VerifyOptions{})
			if c.records == nil {
				if r.Places[0].Missing != c.missing || r.Differences != c.missing {
					t.Errorf("%s: %+v", c.name, r.Places[0])
				}
				continue
			}
			t.Log(c.name)
			wantPlace(t, r, c.missing, c.extra, c.different)
			if c.fields != "" && len(r.Findings) == 1 {
				var fields []string
				for _, f := range r.Findings[0].Fields {
					fields = append(fields, f.Field)
				}
				if strings.Join(fields, " ") != c.fields {
					t.Errorf("%s: fields %v differ, want %s", c.name, fields, c.fields)
				}
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
		}

		// What is asked for is compared, and nothing else.
		fill(whole[:0])
		before := s.verify(t, manyVerdicts, VerifyOptions{To: middle.Time()}).Differences
		after := s.verify(t, manyVerdicts, VerifyOptions{From: middle.Time()}).Differences
		if before == 0 || after == 0 || before+after != int64(len(whole)) {
			t.Errorf("%d verdicts are missing before %s and %d after, there are %d from %s to %s", before, middle, after, len(whole), first, last)
		}
	})
}

func reversed(records []*kgo.Record) []*kgo.Record {
	out := slices.Clone(records)
	slices.Reverse(out)
	return out
}

// recordTimes gives the median, first and last record time of verdicts.
func recordTimes(t *testing.T, records []*kgo.Record) (middle, first, last schemas.Micros) {
	t.Helper()
	var times []schemas.Micros
	for _, r := range records {
		var v schemas.Verdict
		if err := schemas.DecodeVerdict(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		times = append(times, *v.RecordTime)
	}
	slices.Sort(times)
	return times[len(times)/2], times[0], times[len(times)-1]
}

// TestVerifyOfWhatWasEvicted: the bound on memory decides, and does so once more.
func TestVerifyOfWhatWasEvicted(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Shards = 1
		s.cfg.State.MaxBytes = 1 << 20
		s.cfg.State.Interval = schemas.Duration(10 * time.Second)
		const rules = "version: 1\nrules:\n  - {id: volume, type: usage, threshold: 2, window: 1h, emit: every}\n"
		rnd := rand.New(rand.NewPCG(5, 6))
		d := s.detect(t, rules)
		evicted := 0.0
		for n := range 10 {
			var recs []*kgo.Record
			for range 4000 {
				ip := fmt.Sprintf("10.0.%d.%d", rnd.IntN(64), rnd.IntN(256))
				recs = append(recs, &kgo.Record{Topic: s.cfg.Topics.Logs, Key: []byte(ip), Value: []byte(event(ip, "/a"))})
			}
			if err := s.cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(6 * time.Second)
			if n == 6 {
				if err := d.stop(); err != nil {
					t.Fatal(err)
				}
				evicted += gathered(t, d, "apiwarden_detector_evicted_total")
				d = s.detect(t, rules)
			}
		}
		if evicted == 0 {
			t.Fatal("nothing was evicted: nothing is tested")
		}
		r := s.verify(t, rules, VerifyOptions{})
		wantPlace(t, r, 0, 0, 0)
		if r.Places[0].Compared < 100 {
			t.Errorf("%+v", r.Places[0])
		}
		// Without the bound there are other verdicts.
		if _, err := s.adm.DeleteTopics(t.Context(), s.cfg.Topics.State); err != nil {
			t.Fatal(err)
		}
		s.cfg.State.MaxBytes = 1 << 30
		if r := s.verify(t, rules, VerifyOptions{}); r.Differences == 0 {
			t.Error("the bound makes no difference")
		}
	})
}

// gathered sums a metric of a detect.
func gathered(t *testing.T, d *running, name string) float64 {
	t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestVerifyKnowsWhatItCannotKnow: the log, and then the verdict topic, lose their beginning.
func TestVerifyKnowsWhatItCannotKnow(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		rnd := rand.New(rand.NewPCG(7, 8))
		s.detect(t, manyVerdicts)
		for range 8 {
			s.crowd(t, rnd, 1000)
		}
		time.Sleep(5 * time.Second)
		wantPlace(t, s.verify(t, manyVerdicts, VerifyOptions{}), 0, 0, 0)
		cut := func(topic string, eighths int64) {
			t.Helper()
			ends, err := s.adm.ListEndOffsets(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			upTo := make(kadm.Offsets)
			ends.Each(func(o kadm.ListedOffset) {
				upTo.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.Offset * eighths / 8})
			})
			if _, err := s.adm.DeleteRecords(t.Context(), upTo); err != nil {
				t.Fatal(err)
			}
		}
		cut(s.cfg.Topics.Logs, 4)
		r := s.verify(t, manyVerdicts, VerifyOptions{})
		wantPlace(t, r, 0, 0, 0)
		if p := r.Places[0]; p.Unknown < p.Compared || p.Compared < 100 || r.Partitions[0].KnownFrom == nil || len(r.Notes) < 4 {
			t.Errorf("half of the log is gone: %+v, %v", p, r.Notes)
		}
		known := r.Places[0]
		cut(s.cfg.Topics.Verdicts, 6)
		r = s.verify(t, manyVerdicts, VerifyOptions{})
		wantPlace(t, r, 0, 0, 0)
		if p := r.Places[0]; p.Compared == 0 || p.Compared >= known.Compared || p.Unknown == 0 {
			t.Errorf("most of the verdict topic is gone: %+v, before %+v", p, known)
		}
	})
}

// TestVerifyWhileDetectGoesOn: what is not committed yet is no difference.
func TestVerifyWhileDetectGoesOn(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, manyVerdicts)
		rnd := rand.New(rand.NewPCG(9, 10))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 5 {
				s.crowd(t, rnd, 500)
			}
		}()
		for range 20 {
			time.Sleep(15 * time.Second)
			if r := s.verify(t, manyVerdicts, VerifyOptions{}); r.Differences != 0 {
				t.Fatalf("%+v", r.Findings[0])
			}
		}
		<-done
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		s.crowd(t, rnd, 500)
		wantPlace(t, s.verify(t, manyVerdicts, VerifyOptions{}), 0, 0, 0)
	})
}

// TestVerifyAfterCrashes: processes vanish, and what they had not committed is judged
// again by others.
func TestVerifyAfterCrashes(t *testing.T) {
	seldomCommits := kgo.AutoCommitInterval(24 * time.Hour) // as in TestCountsSurviveCrashes
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(10 * time.Second)
		rnd := rand.New(rand.NewPCG(11, 12))
		for range 4 {
			w := &wire{dial: s.net.DialContext}
			d := s.detect(t, manyVerdicts, kgo.Dialer(w.Dial), seldomCommits)
			s.crowd(t, rnd, 500)
			w.cut()
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
		}
		d := s.detect(t, manyVerdicts, seldomCommits)
		s.crowd(t, rnd, 500)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		r := s.verify(t, manyVerdicts, VerifyOptions{})
		wantPlace(t, r, 0, 0, 0)
		if p := r.Places[0]; r.Events != 2500 || p.Compared < 300 || p.Unknown+p.Foreign != 0 {
			t.Errorf("of %d events %+v", r.Events, p)
		}
	})
}

func TestOverBudget(t *testing.T) {
	banned := &schemas.Verdict{Action: schemas.ActionBan, ActionTaken: "ban", Details: "a"}
	alert := &schemas.Verdict{Action: schemas.ActionBan, ActionTaken: schemas.TakenAlert, Details: "a; only an alert"}
	logged := &schemas.Verdict{Action: schemas.ActionBan, ActionTaken: schemas.TakenLoggedOnly, Details: "a"}
	counted := &schemas.Verdict{Action: schemas.ActionBan, ActionTaken: schemas.TakenAlert, Details: "a", Count: 2}
	for _, c := range []struct {
		want, got *schemas.Verdict
		is        bool
	}{{banned, alert, true}, {alert, banned, true}, {banned, logged, false}, {banned, counted, false}} {
		fields, err := differences(canonical(nil, c.want), canonical(nil, c.got))
		if err != nil {
			t.Fatal(err)
		}
		if got := overBudget(c.want, c.got, fields); got != c.is {
			t.Errorf("%+v and %+v: %v", c.want, c.got, got)
		}
	}
}

func TestHaze(t *testing.T) {
	ban := func(subject string, n int, at, until schemas.Micros) *schemas.Verdict {
		return &schemas.Verdict{VerdictID: fmt.Sprintf("%032x", n), Action: schemas.ActionBan, Scope: schemas.ScopeIP, Subject: subject, EventTime: at, ExpiresAt: &until}
	}
	h := newHaze()
	h.horizon, h.memory = 100, 50
	for _, v := range []*schemas.Verdict{ban("a", 1, 90, 95), ban("b", 2, 80, 85), ban("b", 3, 120, 125), ban("c", 4, 90, 95), ban("c", 5, 150, 155), ban("d", 6, 95, 99)} {
		h.verdict(v, false)
	}
	for _, v := range []*schemas.Verdict{ban("a", 1, 90, 95), ban("b", 7, 82, 87), ban("b", 3, 120, 125), ban("c", 8, 130, 135), ban("d", 6, 95, 98)} {
		h.verdict(v, true)
	}
	h.settle()
	for subject, want := range map[string]schemas.Micros{
		"a": 0,   // both say the same
		"b": 132, // the last difference before the horizon is at 82
		"c": 200, // from 90 to 140 there is another one, at 130, and in the 50 after that a third
		"d": 145, // it ended at another time
		"e": 0,
	} {
		if got := h.until[schemas.BanKey(schemas.ScopeIP, subject)]; got != want {
			t.Errorf("%s is hidden until %d, want %d", subject, got, want)
		}
	}
	if hidden := ban("b", 9, 131, 140); !h.hides(hidden) || h.hides(ban("b", 9, 132, 140)) || (*haze)(nil).hides(hidden) {
		t.Error("what is hidden does not go by the event's time")
	}
}

func TestVerifyRefusesAnEmptyRange(t *testing.T) {
	now := time.Now()
	if _, err := NewVerify(DefaultConfig(), VerifyOptions{From: now, To: now}, Deps{Program: program(t, everyEvent), Log: zap.NewNop()}); err == nil {
		t.Error("it is accepted")
	}
}

// TestVerifySkipsWhatDetectSkips: a batch that cannot be unpacked.
func TestVerifySkipsWhatDetectSkips(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		small := kgo.MaxDecompressBatchBytes(1 << 20)
		d := s.detect(t, everyEvent, small)
		s.raise(t, s.cfg.Topics.Logs, 16<<20)
		bomb := s.client(t, kgo.ProducerBatchMaxBytes(16<<20), kgo.ProducerBatchCompression(kgo.GzipCompression()))
		for _, v := range []string{strings.Repeat(" ", 8<<20), event("192.0.2.1", "/hit"), strings.Repeat(" ", 8<<20)} {
			r := &kgo.Record{Topic: s.cfg.Topics.Logs, Key: []byte("192.0.2.1"), Value: []byte(v)}
			if err := bomb.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		r := s.verify(t, everyEvent, VerifyOptions{}, small)
		wantPlace(t, r, 0, 0, 0)
		if r.Places[0].Compared != 1 {
			t.Errorf("%+v", r.Places[0])
		}
	})
}
