package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// comparison compares the verdicts that the log gives with those that are found in one
// place after the other.
type comparison struct {
	verify  *Verify
	expects *expectations
	survey  *survey
	parts   map[int32]*rederiving
	report  *VerifyReport
	place   *VerifiedPlace // the one at hand
	began   time.Time

	blindUntil schemas.Micros           // the last horizon of a partition
	haze       *haze                    // nil: nothing is missing
	before     schemas.Micros           // the last first record's time, of partitions whose beginning is not judged
	earliest   schemas.Micros           // no verdict that the log gives is of an earlier record
	retained   map[int32]schemas.Micros // the first record's time of partitions of the verdict topic
	text       []byte
}

// sight is where a verdict was found.
type sight struct {
	at   string        // for a person; empty in ClickHouse
	flag expectedFlags // of the place
	kept bool          // store has committed it
}

func newComparison(v *Verify, x *expectations, s *survey, parts map[int32]*rederiving, report *VerifyReport) *comparison {
	c := &comparison{
		verify: v, expects: x, survey: s, parts: parts, report: report, began: time.Now(),
		blindUntil: noHorizon, retained: make(map[int32]schemas.Micros),
	}
	for _, r := range parts {
		c.blindUntil = max(c.blindUntil, r.horizon)
		if r.haze != nil {
			if c.haze == nil {
				c.haze = newHaze()
			}
			r.haze.horizon, r.haze.memory = r.horizon, schemas.Micros(r.memory)
			c.haze.include(r.haze)
		}
		if r.from > 0 {
			c.before = max(c.before, r.first)
		}
		if r.records > 0 && (c.earliest == 0 || r.first < c.earliest) {
			c.earliest = r.first
		}
	}
	for i := range x.all {
		c.earliest = min(c.earliest, x.all[i].time)
	}
	return c
}

// found compares a verdict that was found.
func (c *comparison) found(v *schemas.Verdict, s sight) error {
	if !c.ours(v) {
		c.place.Foreign++
		return nil
	}
	if !c.verify.asked(*v.RecordTime) {
		return nil
	}
	e := c.expects.find(v.VerdictID)
	if e == nil {
		c.unexpected(v, s)
		return nil
	}
	again := e.flags.has(s.flag)
	e.flags |= s.flag
	if s.kept {
		e.flags |= stored
	}
	if e.flags.has(notKnown) || c.haze.hides(v) {
		c.unknown(e)
		return nil
	}
	c.text = canonical(c.text[:0], v)
	var want *schemas.Verdict
	var fields []FieldDifference
	if !c.expects.same(e, c.text) {
		var err error
		if want, err = c.expects.verdict(e); err != nil {
			return err
		}
		if s.flag == inClickHouse {
			*want = sink.AsStored(*want)
		}
		if fields, err = differences(canonical(nil, want), c.text); err != nil {
			return err
		}
	}
	if len(fields) > 0 && c.haze != nil && overBudget(want, v, fields) {
		c.unknown(e)
		return nil
	}
	switch {
	case again:
		c.place.Repeated++
	case !e.flags.has(notReached):
		c.place.Compared++
	}
	if len(fields) > 0 {
		c.place.Different++
		c.finding(FoundDifferent, want, s.at, fields)
	}
	return nil
}

// unknown counts a verdict of which nothing can be said, here and in the other places.
func (c *comparison) unknown(e *expected) {
	e.flags |= notKnown
	c.place.Unknown++
}

// overBudget says whether two verdicts differ only in whether the rule's budget of bans was
// used up. Bans of others decide that, which may be hidden.
func overBudget(want, got *schemas.Verdict, fields []FieldDifference) bool {
	return want.Action == schemas.ActionBan && (want.ActionTaken == schemas.TakenAlert || got.ActionTaken == schemas.TakenAlert) &&
		!slices.ContainsFunc(fields, func(f FieldDifference) bool { return f.Field != "action_taken" && f.Field != "details" })
}

// ours says whether a verdict is of a record of our log. One of an episode is not: it comes
// of what several partitions said, and of when they did.
func (c *comparison) ours(v *schemas.Verdict) bool {
	return v.EpisodeID == "" && v.RecordTime != nil && v.Trigger != nil && (v.Trigger.Topic == c.verify.cfg.Topics.Logs || v.Trigger.Topic == c.verify.cfg.judged())
}

// hazy takes in what a record of the verdict topic says of bans in partitions whose
// beginning is missing.
func (c *comparison) hazy(r *kgo.Record) error {
	var v schemas.Verdict
	if schemas.DecodeVerdict(r.Value, &v) != nil || !c.ours(&v) {
		return nil
	}
	if p := c.parts[v.Trigger.Partition]; c.verify.cfg.Input.Rekey || p != nil && p.haze != nil {
		c.haze.verdict(&v, true)
	}
	return nil
}

// unexpected judges a verdict that the log does not give.
func (c *comparison) unexpected(v *schemas.Verdict, s sight) {
	t, rekeyed := v.Trigger, c.verify.cfg.Input.Rekey
	if t.Topic == c.verify.cfg.Topics.Logs && t.Offset >= c.survey.reach[t.Partition] {
		return // detect goes on while we look
	}
	known := true
	if rekeyed {
		known = *v.RecordTime > c.before && v.EventTime >= c.blindUntil
	} else if r := c.parts[t.Partition]; r != nil {
		known = t.Offset >= r.from && v.EventTime >= r.horizon
	}
	if !known || c.haze.hides(v) {
		c.place.Unknown++
		return
	}
	c.place.Extra++
	c.finding(FoundExtra, v, s.at, nil)
}

// record compares a record of the verdict topic.
func (c *comparison) record(r *kgo.Record) error {
	at := fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)
	if _, known := c.retained[r.Partition]; !known {
		c.retained[r.Partition] = schemas.Micros(r.Timestamp.UnixMicro())
	}
	var v schemas.Verdict
	if err := schemas.DecodeVerdict(r.Value, &v); err != nil {
		c.place.Extra++
		c.finding(FoundExtra, &schemas.Verdict{Details: err.Error()}, at, nil)
		return nil
	}
	return c.found(&v, sight{at: at, flag: onTopic, kept: r.Offset < c.survey.stored[r.Partition]})
}

// absent goes through the verdicts that were not found. want says which of them should
// have been; known, of which of those it can be said.
func (c *comparison) absent(flag expectedFlags, want, known func(*expected) bool) error {
	for i := range c.expects.all {
		e := &c.expects.all[i]
		if e.flags.has(flag|notKnown|notReached) || !want(e) {
			continue
		}
		if !known(e) {
			c.place.Unknown++
			continue
		}
		if c.haze == nil && len(c.report.Findings) == maxFindings {
			c.place.Missing++
			c.report.Differences++
			continue
		}
		v, err := c.expects.verdict(e)
		if err != nil {
			return err
		}
		if c.haze.hides(v) {
			e.flags |= notKnown
			continue
		}
		c.place.Missing++
		c.finding(FoundMissing, v, "", nil)
	}
	return nil
}

// onVerdictTopic says whether a verdict must still be on the verdict topic: not where
// its part of the topic begins later.
func (c *comparison) onVerdictTopic(e *expected) bool {
	s, ok := c.survey.verdicts[e.kept]
	if !ok || s.from == 0 {
		return true
	}
	first, ok := c.retained[e.kept]
	return ok && e.time >= first
}

// verdictPartitioner gives a function that tells which of so many partitions of the
// verdict topic has a subject's verdicts. It is for one goroutine.
func verdictPartitioner(topic string) func(subject string, partitions int) int32 {
	keyed := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	return func(subject string, partitions int) int32 {
		return int32(keyed.Partition(&kgo.Record{Key: []byte(subject)}, partitions))
	}
}

// enter begins comparing with a place, leave ends it.
func (c *comparison) enter(place string) { c.place = &VerifiedPlace{Name: place} }

func (c *comparison) leave() { c.report.Places = append(c.report.Places, *c.place) }

// withClickHouse compares with what ClickHouse holds. What store has not committed yet
// need not be there, nor what has outlived its time.
func (c *comparison) withClickHouse(ctx context.Context, cfg sink.ClickHouseConfig) error {
	v := c.verify
	c.enter("clickhouse " + cfg.Database + "." + schemas.VerdictsTable)
	from, to := c.earliest, schemas.Micros(0)
	if !v.options.From.IsZero() {
		from = max(from, schemas.Micros(v.options.From.UnixMicro()))
	}
	if !v.options.To.IsZero() {
		to = schemas.Micros(v.options.To.UnixMicro())
	}
	err := sink.ReadVerdicts(ctx, cfg, v.log, from, to, func(verdict *schemas.Verdict) error {
		return c.found(verdict, sight{flag: inClickHouse})
	})
	if err != nil {
		return err
	}
	oldest := schemas.Micros(0)
	if ttl := time.Duration(cfg.TTL.Verdicts); ttl > 0 {
		oldest = schemas.Micros(c.began.Add(-ttl).UnixMicro())
	}
	err = c.absent(inClickHouse, func(e *expected) bool { return !e.flags.has(onTopic) || e.flags.has(stored) },
		func(e *expected) bool { return e.time >= oldest })
	c.leave()
	return err
}

// finding keeps what a person is shown.
func (c *comparison) finding(kind FindingKind, v *schemas.Verdict, at string, fields []FieldDifference) {
	c.report.Differences++
	if len(c.report.Findings) < maxFindings {
		c.report.Findings = append(c.report.Findings, Finding{
			Kind: kind, Place: c.place.Name, VerdictID: v.VerdictID, RuleID: v.RuleID, Scope: v.Scope, Subject: v.Subject,
			Trigger: v.Trigger, EventTime: v.EventTime, RecordTime: v.RecordTime, At: at, Details: v.Details, Fields: fields,
		})
	}
}

// differences compares two texts of canonical field by field.
func differences(want, got []byte) ([]FieldDifference, error) {
	var a, b map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(want, &a), json.Unmarshal(got, &b)); err != nil {
		return nil, fmt.Errorf("comparing verdicts field by field: %w", err)
	}
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []FieldDifference
	for _, name := range names {
		if !bytes.Equal(a[name], b[name]) {
			out = append(out, FieldDifference{Field: name, Want: a[name], Got: b[name]})
		}
	}
	return out, nil
}
