package consumer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// over3 gives one verdict of a subject, on its fourth event.
const over3 = `
version: 1
rules:
  - {id: volume, type: usage, threshold: 3, window: 24h, action: alert}
`

// subjects are addresses of all partitions.
func subjects() []string {
	var all []string
	for i := range 40 {
		all = append(all, fmt.Sprintf("192.0.2.%d", i))
	}
	return all
}

// each puts an event of each subject.
func (s *site) each(t *testing.T, path string) {
	t.Helper()
	for _, ip := range subjects() {
		s.put(t, ip, event(ip, path))
	}
}

// wantOneEach: each subject has one verdict, of its fourth event. A crash may have
// it said again.
func (s *site) wantOneEach(t *testing.T) {
	t.Helper()
	var got []string
	ids := make(map[string]bool)
	for _, v := range s.verdicts(t) {
		if ids[v.VerdictID] {
			continue
		}
		ids[v.VerdictID] = true
		got = append(got, v.Subject)
		if v.Count != 4 {
			t.Errorf("the verdict of %s has count %v, want 4", v.Subject, v.Count)
		}
	}
	slices.Sort(got)
	want := subjects()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("verdicts of %v, want one of each of %d subjects", got, len(want))
	}
}

// journals gives the journal of each partition.
func (s *site) journals(t *testing.T) map[int32]*journal {
	t.Helper()
	cl := s.client(t, sink.StateReadOpts()...)
	defer cl.Close()
	stored, err := sink.ReadState(t.Context(), cl, s.cfg.Topics.State, s.cfg.Kafka.Group, s.cfg.Topics.Logs, []int32{0, 1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[int32]*journal)
	for n, state := range stored {
		for _, piece := range state.Pieces {
			if piece.Shard != sink.JournalShard {
				continue
			}
			data, err := piece.Unpack(nil)
			if err != nil {
				t.Fatal(err)
			}
			j, err := decodeJournal(data)
			if err != nil {
				t.Fatal(err)
			}
			if out[n] == nil || j.newer(out[n]) {
				out[n] = j
			}
		}
	}
	return out
}

func TestCountsSurviveRestarts(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(5 * time.Second)
		for _, rest := range []time.Duration{time.Second, 20 * time.Second, 0, time.Second, 2 * time.Minute} {
			d := s.detect(t, over3)
			s.each(t, "/a")
			time.Sleep(rest)
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
		}
		d := s.detect(t, over3)
		time.Sleep(5 * time.Second)
		s.wantOneEach(t)
		if n := s.uncommitted(t); n != 0 {
			t.Errorf("%d records are not committed", n)
		}
		if n := testutil.ToFloat64(d.metrics.Records.WithLabelValues(s.cfg.Topics.Logs)); n != 0 {
			t.Errorf("%v records that were read again are counted again", n)
		}
		if n := testutil.ToFloat64(d.metrics.SnapshotFailures) + testutil.ToFloat64(d.metrics.SnapshotsUnusable); n != 0 {
			t.Errorf("%v snapshots failed", n)
		}
	})
}

func TestCountsMoveWithTheirPartitions(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(5 * time.Second)
		first := s.detect(t, over3)
		s.each(t, "/a")
		second := s.detect(t, over3)
		s.each(t, "/a")
		time.Sleep(15 * time.Second)
		if err := first.stop(); err != nil {
			t.Fatal(err)
		}
		s.each(t, "/a")
		s.detect(t, over3)
		s.each(t, "/a")
		time.Sleep(15 * time.Second)
		if err := second.stop(); err != nil {
			t.Fatal(err)
		}
		s.each(t, "/a")
		time.Sleep(15 * time.Second)
		s.wantOneEach(t)
	})
}

// TestOtherRulesHoldFromAnOffsetOn: records are judged again by the rules that judged
// them first.
func TestOtherRulesHoldFromAnOffsetOn(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		for _, rules := range []string{everyEvent, hitAgain, hitAgain, everyEvent} {
			d := s.detect(t, rules)
			s.each(t, "/hit")
			time.Sleep(time.Second)
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
		}
		s.detect(t, hitAgain)
		time.Sleep(5 * time.Second)
		s.wantEachOnce(t, 4*len(subjects()))
		rules := make(map[string]int)
		for _, v := range s.verdicts(t) {
			rules[v.RuleID]++
		}
		if n := len(subjects()); rules["each"] != 2*n || rules["again"] != 2*n {
			t.Errorf("verdicts by rule %v, want %d of each", rules, 2*n)
		}
		for n, j := range s.journals(t) {
			var kinds []entryKind
			for _, e := range j.Entries {
				kinds = append(kinds, e.Kind)
			}
			if want := []entryKind{entryBegin, entryRules, entryRules, entryRules}; !slices.Equal(kinds, want) {
				t.Errorf("the journal of partition %d has %v, want %v", n, kinds, want)
			}
			if len(j.Rules) != 2 {
				t.Errorf("the journal of partition %d has the text of %d rule sets, want 2", n, len(j.Rules))
			}
		}
	})
}

// TestRulesAreAdoptedWhileRecordsCome: counts of the rule that stays go on, the rule
// that is new begins, and a restart knows from which offset on.
func TestRulesAreAdoptedWhileRecordsCome(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(5 * time.Second)
		d := s.detect(t, over3)
		s.each(t, "/a")
		s.each(t, "/a")
		time.Sleep(2 * time.Second)
		more := over3 + "  - {id: twice, type: usage, threshold: 1, window: 24h, action: log}\n"
		if err := d.Adopt(program(t, more)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		s.each(t, "/a") // third, first of the new rule
		time.Sleep(7 * time.Second)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		s.detect(t, more)
		s.each(t, "/a")
		time.Sleep(5 * time.Second)
		of := make(map[string]int)
		for _, v := range s.verdicts(t) {
			of[fmt.Sprint(v.RuleID, " ", v.Count)]++
		}
		if n := len(subjects()); of["volume 4"] != n || of["twice 2"] != n || len(of) != 2 {
			t.Errorf("verdicts by rule and count: %v, want %d of volume 4 and of twice 2", of, n)
		}
		if err := d.Adopt(program(t, over3+"  - {id: users, type: usage, threshold: 1, window: 1h, key: user_id}\n")); err == nil {
			t.Error("rules with a key are adopted without input.rekey")
		}
	})
}

func TestABeginIsJournaledBeforeTheFirstRecord(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.hits(t, 20)
		s.cfg.Kafka.Start = "latest"
		s.detect(t, everyEvent)
		ends, err := s.adm.ListEndOffsets(t.Context(), s.cfg.Topics.Logs)
		if err != nil {
			t.Fatal(err)
		}
		js := s.journals(t)
		ends.Each(func(o kadm.ListedOffset) {
			j := js[o.Partition]
			if j == nil {
				t.Fatalf("partition %d has no journal", o.Partition)
			}
			b := *j.Entries[0].Bound
			if j.begin() != o.Offset || j.Shards != 8 || j.Seed == ([2]uint64{}) || b.Bytes != 4<<30/4/8 || b.Endpoints != 10_000 {
				t.Errorf("the journal of partition %d is %+v with bound %v, it should begin at %d", o.Partition, j, b, o.Offset)
			}
		})
	})
}

func TestMorePartitionsHaveSmallerBounds(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.detect(t, everyEvent)
		if _, err := s.adm.UpdatePartitions(t.Context(), 8, s.cfg.Topics.Logs); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute) // the client looks for partitions every five
		s.hits(t, 200)
		time.Sleep(5 * time.Second)
		for n, j := range s.journals(t) {
			if _, b := j.inForce(len(j.Entries)); b.Bytes != 4<<30/8/8 {
				t.Errorf("a shard of partition %d may have %d bytes, want %d", n, b.Bytes, 4<<30/8/8)
			}
		}
		s.wantEachOnce(t, 200)
	})
}

// TestRecordsThatWereDeletedAreSaid: the log no longer has what the counts need.
func TestRecordsThatWereDeletedAreSaid(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		d := s.detect(t, everyEvent)
		s.hits(t, 100)
		time.Sleep(time.Second)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		s.hits(t, 100)
		ends, err := s.adm.ListEndOffsets(t.Context(), s.cfg.Topics.Logs)
		if err != nil {
			t.Fatal(err)
		}
		upTo := make(kadm.Offsets)
		ends.Each(func(o kadm.ListedOffset) {
			upTo.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.Offset - 2})
		})
		if _, err := s.adm.DeleteRecords(t.Context(), upTo); err != nil {
			t.Fatal(err)
		}
		d = s.detect(t, everyEvent)
		time.Sleep(5 * time.Second)
		s.wantEachOnce(t, 100+2*4)
		if n := testutil.ToFloat64(d.metrics.RestoreLost); n < 100-2*4 {
			t.Errorf("%v records are said to be lost", n)
		}
	})
}

// TestCountsSurviveCrashes: a process vanishes, nothing of what it had in hand is
// written, and the group notices only when its session has timed out.
func TestCountsSurviveCrashes(t *testing.T) {
	// The client's commits wait at a lock while it joins, which keeps the bubble's
	// clock from moving on, and with it the join from ending: as in fleet_test.go.
	seldomCommits := kgo.AutoCommitInterval(24 * time.Hour)
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(3 * time.Second)
		for _, rest := range []time.Duration{10 * time.Millisecond, 20 * time.Second, 200 * time.Millisecond, 2 * time.Second} {
			w := &wire{dial: s.net.DialContext}
			d := s.detect(t, over3, kgo.Dialer(w.Dial), seldomCommits)
			s.each(t, "/a")
			time.Sleep(rest)
			w.cut()
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
		}
		d := s.detect(t, over3, seldomCommits)
		s.each(t, "/a")
		time.Sleep(time.Minute)
		s.wantOneEach(t)
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if n := s.uncommitted(t); n != 0 {
			t.Errorf("%d records are not committed", n)
		}
	})
}

// TestStateTopicAway: snapshots wait, judging does not.
func TestStateTopicAway(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(3 * time.Second)
		d := s.detect(t, over3)
		s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.cfg.Topics.State, Err: kerr.NotLeaderForPartition, Count: 1 << 20})
		for range 4 {
			s.each(t, "/a")
			time.Sleep(20 * time.Second)
		}
		s.wantOneEach(t)
		if n := s.uncommitted(t); n != 0 {
			t.Errorf("%d records are not committed", n)
		}
		began := time.Now()
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Duration(s.cfg.ShutdownTimeout) {
			t.Errorf("the stop took %v", took)
		}
	})
}

// TestUnreadableStateIsSaid: a record that is none of ours costs its shard alone.
func TestUnreadableStateIsSaid(t *testing.T) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.State.Interval = schemas.Duration(3 * time.Second)
		d := s.detect(t, over3)
		for range 2 {
			s.each(t, "/a")
			time.Sleep(10 * time.Second)
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		cl := s.client(t, sink.StateOpts()...)
		for n := range int32(4) {
			for slot := range 4 {
				key := fmt.Appendf(nil, "%s/%s/%d/1/%d/0", s.cfg.Kafka.Group, s.cfg.Topics.Logs, n, slot)
				if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: s.cfg.Topics.State, Partition: n, Key: key, Value: []byte("garbage")}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.detect(t, over3)
		for range 2 {
			s.each(t, "/a")
		}
		time.Sleep(10 * time.Second)
		s.wantOneEach(t)
	})
}
