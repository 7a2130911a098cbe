package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// undisturbed is what a run leads to that nothing disturbs: the log of each partition,
// judged in one go.
type undisturbed struct {
	verdicts map[string]string      // id -> what it says
	bans     map[string]schemas.Ban // by key, also those that the clock has ended since
	letters  map[schemas.Position]bool
	usable   int
	evicted  uint64

	summaries map[string]schemas.Summary // of buckets that the log has closed
	closed    map[int32]int64            // by partition, until when those are, s since 1970
	late      map[string]int64           // by bucket, the events that were not in order
}

// judgeUndisturbed judges the records as one engine a partition does. What is given up
// for want of memory depends on the partition's seed.
func judgeUndisturbed(t *testing.T, rules string, logs []*kgo.Record, o detector.Options, seeds map[int32][2]uint64) *undisturbed {
	t.Helper()
	program, err := detector.Load(rules)
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := schemas.NewDecoder(schemas.Options{MaxRecordBytes: 1 << 20, Needs: program.Needs()})
	if err != nil {
		t.Fatal(err)
	}
	u := &undisturbed{
		verdicts: map[string]string{}, bans: map[string]schemas.Ban{}, letters: map[schemas.Position]bool{}, summaries: map[string]schemas.Summary{}, closed: map[int32]int64{}, late: map[string]int64{},
	}
	engines, newest := map[int32]*detector.Engine{}, map[int32]int64{}
	for _, r := range logs {
		e := engines[r.Partition]
		if e == nil {
			o.Topic, o.Partition, o.Seed = r.Topic, r.Partition, seeds[r.Partition]
			e = detector.NewEngine(program, o)
			engines[r.Partition] = e
		}
		var ev schemas.Event
		if decoder.Decode(r.Value, &ev) != nil {
			u.letters[schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}] = true
			continue
		}
		u.usable++
		if ev.Time < newest[r.Partition] {
			u.late[bucketID(r.Partition, ev.Time/1e6/schemas.SummarySeconds*schemas.SummarySeconds)]++
		}
		newest[r.Partition] = max(newest[r.Partition], ev.Time)
		if _, bad := e.Observe(&ev, detector.Record{Offset: r.Offset, Time: r.Timestamp.UnixMicro()}); bad != nil {
			t.Fatalf("the event at %d@%d is refused: %v", r.Partition, r.Offset, bad)
		}
		verdicts, _ := e.Take()
		for i := range verdicts {
			u.verdicts[verdicts[i].VerdictID] = verdictLine(&verdicts[i])
		}
		if summaries, mark := e.TakeSummaries(); mark != nil {
			for i := range summaries {
				var s schemas.Summary // of its own
				if err := schemas.DecodeSummary(sink.SummaryRecord("", &summaries[i]).Value, &s); err != nil {
					t.Fatal(err)
				}
				u.summaries[summaryID(&s)] = s
			}
			u.closed[r.Partition] = mark.Closed
		}
	}
	for _, e := range engines {
		for _, b := range e.Shown() {
			u.bans[schemas.BanKey(b.Scope, b.Value)] = b
		}
		u.evicted += e.Stats().Evicted
	}
	return u
}

// verdictLine is what two runs have to agree on; ids come with it.
func verdictLine(v *schemas.Verdict) string {
	return fmt.Sprintf("%s|%s|%d|%v|%s|%s", v.RuleID, v.Subject, v.EventTime, v.Count, v.Action, v.ActionTaken)
}

// everyRecord gives what a topic has now, by partition and offset.
func (c *crew) everyRecord(topic string) []*kgo.Record {
	c.t.Helper()
	name := c.name + "-" + topic
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	ends, err := c.adm.ListEndOffsets(ctx, name)
	if err = errors.Join(err, ends.Error()); err != nil {
		c.t.Fatal(err)
	}
	parts := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			parts[o.Partition] = kgo.NewOffset().AtStart()
		}
	})
	if len(parts) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: parts}), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		c.t.Fatal(err)
	}
	defer cl.Close()
	next := map[int32]int64{}
	var all []*kgo.Record
	for !reached(ends[name], next) {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			c.t.Fatalf("reading %s: %v", name, fetches.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			all, next[r.Partition] = append(all, r), r.Offset+1
		})
	}
	slices.SortFunc(all, func(a, b *kgo.Record) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	return all
}

func reached(ends map[int32]kadm.ListedOffset, next map[int32]int64) bool {
	for n, o := range ends {
		if next[n] < o.Offset {
			return false
		}
	}
	return true
}

// seeds gives the seed of each partition, which its journal has.
func (c *crew) seeds() map[int32][2]uint64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(append(sink.StateReadOpts(), kgo.SeedBrokers(c.brokers...))...)
	if err != nil {
		c.t.Fatal(err)
	}
	defer cl.Close()
	stored, err := sink.ReadState(ctx, cl, c.name+"-state", c.name, c.name+"-logs", []int32{0, 1, 2, 3})
	if err != nil {
		c.t.Fatal(err)
	}
	seeds := map[int32][2]uint64{}
	for n, s := range stored {
		for _, piece := range s.Pieces {
			if piece.Shard != sink.JournalShard {
				continue
			}
			var journal struct{ Seed [2]uint64 }
			data, err := piece.Unpack(nil)
			if err = errors.Join(err, json.Unmarshal(data, &journal)); err != nil {
				c.t.Fatal(err)
			}
			seeds[n] = journal.Seed
		}
	}
	return seeds
}

// exact compares what the processes have led to with what nothing would have disturbed,
// and tells how many verdicts are on the topic more than once.
func (c *crew) exact(o detector.Options) *undisturbed {
	c.t.Helper()
	c.settled("at the end")
	logs := c.everyRecord("logs")
	want := judgeUndisturbed(c.t, c.rules, logs, o, c.seeds())
	got, twice := map[string]string{}, 0
	for _, r := range c.everyRecord("verdicts") {
		var v schemas.Verdict
		if err := schemas.DecodeVerdict(r.Value, &v); err != nil {
			c.t.Fatal(err)
		}
		if _, ok := got[v.VerdictID]; ok {
			twice++
		}
		got[v.VerdictID] = verdictLine(&v)
	}
	c.compare("verdicts", want.verdicts, got)
	c.compareReplay(logs, got)
	letters := map[schemas.Position]bool{}
	for _, r := range c.everyRecord("dlq") {
		letters[letterPosition(r)] = true
	}
	if diff := cmp.Diff(want.letters, letters); diff != "" {
		c.t.Errorf("dead letters (-want +got):\n%s", cut(diff))
	}
	c.eventually("every row in ClickHouse", func() bool {
		return c.number("SELECT count() FROM {db}.events FINAL") >= want.usable && c.number("SELECT count() FROM {db}.verdicts FINAL") >= len(got)
	})
	rows := [3]int{c.number("SELECT count() FROM {db}.events FINAL"), c.number("SELECT uniqExact(partition, offset) FROM {db}.events"), c.number("SELECT count() FROM {db}.verdicts FINAL")}
	if w := [3]int{want.usable, want.usable, len(got)}; rows != w {
		c.t.Errorf("rows of events, their positions and rows of verdicts: %v, want %v", rows, w)
	}
	c.compareBans(want.bans)
	c.compareSummaries(want)
	c.t.Logf("%d events, %d verdicts, %d of them once more on the topic, %d bans, %d evicted", want.usable, len(got), twice, len(want.bans), want.evicted)
	if len(got) < 100 {
		c.t.Errorf("%d verdicts: not much is compared", len(got))
	}
	return want
}

func (c *crew) compare(what string, want, got map[string]string) {
	c.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("%s of an undisturbed run (-) and of this one (+) differ, %d and %d:\n%s", what, len(want), len(got), cut(diff))
	}
}

func cut(s string) string { return s[:min(len(s), 4000)] }

// compareReplay holds the verdicts against what the command replay says of each
// partition's log, which is what a user has.
func (c *crew) compareReplay(logs []*kgo.Record, got map[string]string) {
	c.t.Helper()
	if c.bounded {
		return // replay knows no bound on memory
	}
	lines := map[int32][][]byte{}
	for _, r := range logs {
		lines[r.Partition] = append(lines[r.Partition], r.Value)
	}
	var want, have []string
	for _, l := range lines {
		want = append(want, replayed(c.t, c.ruleText, l, "")...)
	}
	for line := range maps.Values(got) {
		have = append(have, line[:strings.LastIndexByte(line, '|')])
	}
	if diff := cmp.Diff(sorted(want), sorted(have)); diff != "" {
		c.t.Errorf("verdicts of replay (-) and of this run (+) differ:\n%s", cut(diff))
	}
}

// summaryID is what there is one summary of.
func summaryID(s *schemas.Summary) string {
	return fmt.Sprintf("%s|%s|%s", bucketID(s.Partition, s.Start), s.View, s.Endpoint)
}

func bucketID(partition int32, start int64) string { return fmt.Sprintf("%d|%d", partition, start) }

// compareSummaries looks at what learned rules are given. What the log has closed is what an
// undisturbed run says of it, however often; the rest the clock has closed since. Where a
// partition has nothing to say for a while the clock may close a bucket before an event that
// is late, which is missing then: a bucket may lack as many as it has.
func (c *crew) compareSummaries(want *undisturbed) {
	c.t.Helper()
	got, again, less, later := map[string]schemas.Summary{}, 0, 0, 0
	for _, r := range c.everyRecord("stats") {
		var s schemas.Summary
		if r.Key == nil {
			continue // a mark
		}
		if err := schemas.DecodeSummary(r.Value, &s); err != nil {
			c.t.Fatal(err)
		}
		if s.Start >= want.closed[s.Partition] {
			later++
			continue
		}
		id := summaryID(&s)
		if _, ok := got[id]; ok {
			again++
		}
		if w, ok := want.summaries[id]; ok && s.Requests < w.Requests && w.Requests-s.Requests <= want.late[bucketID(s.Partition, s.Start)] {
			less++
			s = w
		}
		if have, ok := got[id]; ok && !cmp.Equal(have, s, equalAddresses) {
			c.t.Errorf("of one bucket there are two summaries:\n%+v\n%+v", have, s)
		}
		got[id] = s
	}
	for id, w := range want.summaries {
		if _, ok := got[id]; !ok && w.Requests <= want.late[bucketID(w.Partition, w.Start)] {
			less++
			got[id] = w
		}
	}
	if diff := cmp.Diff(want.summaries, got, equalAddresses); diff != "" {
		c.t.Errorf("summaries of an undisturbed run (-) and of this one (+) differ, %d and %d:\n%s", len(want.summaries), len(got), cut(diff))
	}
	c.t.Logf("%d summaries, %d of them once more on the topic, %d without an event that was late; %d of buckets that the clock has closed", len(got), again, less, later)
	if less > len(got)/20 {
		c.t.Errorf("%d summaries lack events that were late", less)
	}
}

var equalAddresses = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// letterPosition is the position of the record that a dead letter is of.
func letterPosition(r *kgo.Record) schemas.Position {
	var p schemas.Position
	for _, h := range r.Headers {
		switch h.Key {
		case "apiwarden-topic":
			p.Topic = string(h.Value)
		case "apiwarden-partition":
			fmt.Sscan(string(h.Value), &p.Partition)
		case "apiwarden-offset":
			fmt.Sscan(string(h.Value), &p.Offset)
		}
	}
	return p
}

// compareBans reads the ban topic from its start, as a gateway does: what is enforced
// there now is what an undisturbed run enforces, with the clock's own ends. Only its
// beginning may be earlier: who takes over a partition merges with what the former owner
// wrote, and keeps the earlier of the two beginnings.
func (c *crew) compareBans(want map[string]schemas.Ban) {
	c.t.Helper()
	var diff string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...))
		if err != nil {
			c.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		list, err := sink.ReadBans(ctx, cl, c.name+"-bans")
		cancel()
		cl.Close()
		if err != nil {
			c.t.Fatal(err)
		}
		got, left := map[string]schemas.Ban{}, map[string]schemas.Ban{}
		for _, b := range list {
			key := schemas.BanKey(b.Scope, b.Value)
			if w, ok := want[key]; ok && b.Since < w.Since {
				b.Since = w.Since
			}
			got[key] = b
		}
		now := schemas.Micros(time.Now().UnixMicro())
		for key, b := range want {
			if b.ExpiresAt >= now {
				left[key] = b
			}
		}
		if diff = cmp.Diff(left, got); diff == "" {
			c.t.Logf("%d bans are enforced at the end", len(left))
			return
		}
	}
	c.t.Errorf("bans of an undisturbed run (-) and of the topic (+) differ:\n%s", cut(diff))
}
