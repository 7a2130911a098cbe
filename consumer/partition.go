package consumer

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// outcomes are the values of the label outcome, by detector.Outcome. A rejected
// event is a dead letter and not among them.
var outcomes = [...]string{
	detector.Counted: "counted", detector.Late: "late", detector.Exempt: "exempt",
	detector.Blocked: "blocked", detector.Banned: "banned",
}

// partition is what detect keeps of a partition it owns. One goroutine at a time
// uses it: a judge while records are judged, else the poll loop or, while that may
// not run, a callback of the assignment.
type partition struct {
	tp     topicPartition
	engine *detector.Engine
	lag    *lag
	stats  detector.Stats // what the metrics have of the engine
	out    outbox

	next      int64 // the first offset that is not finished
	committed int64 // by the group, when we were assigned: earlier records count as read
	start     int64 // of the log
	// What snapshots say is finished, and nobody has committed, if that is all there is:
	// no record will come by whose mark it would be. Offset 0: nothing.
	uncommitted kgo.EpochOffset
	end         int64    // of the log, when we were assigned
	rules       *ruleset // that the engine has; its decoder is not used where they are everybody's
	replay      *replay  // nil: live
	// Records before it may have been judged by a former owner, who may have crashed before
	// it committed that: until then nothing changes that the journal does not say, or
	// verdicts of the same records would differ.
	hold     int64
	journal  *journal
	kept     journalPieces
	rotation *rotation
	copying  *errand // of a shard that is being copied; nil: none
	topicID  [16]byte
	said     int       // of Detect.said, when the journal was brought in line
	heard    time.Time // when the last records were finished, or the partition became live
	leader   int32     // when it was last asked whether it is idle
	answered time.Time // when the leader had answered a fetch then
}

// outbox is what the records of one poll have led to.
type outbox struct {
	verdicts  []*kgo.Record
	decisions []decision // of verdicts, by index
	letters   []*kgo.Record
	reasons   []schemas.Reason // of letters, by index
	bans      []sink.BanUpdate
	summaries []*kgo.Record
	marks     []schemas.SummaryMark // they follow the summaries
	outcomes  [len(outcomes)]int
	miskeyed  int
	stray     *kgo.Record // the first of them
	belongs   string      // the key it should have
}

// decision is what is counted of a verdict once it is acknowledged.
type decision struct {
	rule   string
	action schemas.Action
	event  int64 // event time, µs
}

func (o *outbox) reset() {
	clear(o.verdicts)
	clear(o.letters)
	clear(o.bans)
	clear(o.summaries)
	clear(o.marks)
	*o = outbox{
		verdicts: o.verdicts[:0], decisions: o.decisions[:0], letters: o.letters[:0], reasons: o.reasons[:0], bans: o.bans[:0],
		summaries: o.summaries[:0], marks: o.marks[:0],
	}
}

// judge has what one goroutine needs to judge records, of any partition.
type judge struct {
	*ruleset          // everybody's
	at       *ruleset // of the records at hand
	topics   sink.Topics
	sources  *sources // nil: the records are no copies
	key      []byte   // scratch

	// Of the records at hand.
	events [detector.Ahead]schemas.Event
	bad    [detector.Ahead]*schemas.BadRecord
	ahead  [detector.Ahead]*schemas.Event // the usable ones of events
}

// records has the partition's engine judge recs, in their order, and leaves what
// follows from them in the partition's outbox.
func (j *judge) records(p *partition, recs []*kgo.Record) {
	for p.replay != nil && len(recs) > 0 {
		p.replay.advance(p, recs[0].Offset)
		n := p.replay.until(recs)
		j.stretch(p, recs[:n])
		if recs[n-1].Offset < p.replay.muted {
			p.out.reset()
		}
		recs = recs[n:]
	}
	j.stretch(p, recs)
}

// stretch judges records for which the same rules hold.
func (j *judge) stretch(p *partition, recs []*kgo.Record) {
	j.at = j.ruleset
	if p.rules.program != j.program {
		j.at = p.rules
	}
	for len(recs) > 0 {
		n := min(len(recs), detector.Ahead)
		j.decode(p, recs[:n])
		for i, r := range recs[:n] {
			if bad := j.record(p, r, i); bad != nil {
				j.reject(p, r, bad)
			}
		}
		recs = recs[n:]
	}
}

// decode decodes the records at hand and has the engine look ahead at them.
func (j *judge) decode(p *partition, recs []*kgo.Record) {
	usable := 0
	j.at.decoder.Begin()
	for i, r := range recs {
		if r.Attrs.IsControl() {
			continue
		}
		if j.bad[i] = badRecord(j.at.decoder.DecodeNext(r.Value, &j.events[i])); j.bad[i] == nil {
			j.ahead[usable] = &j.events[i]
			usable++
		}
	}
	p.engine.Foresee(j.ahead[:usable])
}

// record judges the i-th of the records at hand.
func (j *judge) record(p *partition, r *kgo.Record, i int) *schemas.BadRecord {
	if r.Attrs.IsControl() {
		return nil // a transaction's end: takes an offset, says nothing
	}
	rec := detector.Record{Offset: r.Offset, Time: r.Timestamp.UnixMicro()}
	if j.sources != nil {
		j.sources.read(r)
		rec.Time, rec.Copy = j.sources.time, &j.sources.copy
		if reason := letterReason(r); reason != "" {
			return &schemas.BadRecord{Reason: reason}
		}
	}
	if j.bad[i] != nil {
		return j.bad[i]
	}
	if j.sources == nil {
		j.checkKey(&p.out, r, &j.events[i])
	}
	outcome, bad := p.engine.Observe(&j.events[i], rec)
	if int(outcome) < len(p.out.outcomes) && (rec.Copy == nil || rec.Copy.Key == "") {
		p.out.outcomes[outcome]++
	}
	if verdicts, changes := p.engine.Take(); len(verdicts)+len(changes) > 0 {
		j.took(p, verdicts, changes)
	}
	if summaries, mark := p.engine.TakeSummaries(); mark != nil {
		j.summarized(p, summaries, mark)
	}
	return bad
}

// reject leaves the dead letter of a record in the partition's outbox.
func (j *judge) reject(p *partition, r *kgo.Record, bad *schemas.BadRecord) {
	var letter *kgo.Record
	if j.sources == nil {
		letter = sink.DeadLetter(j.topics.DLQ, r, bad)
	} else if letter = j.sources.letter(j.topics.DLQ, r, bad); letter == nil {
		return
	}
	p.out.letters = append(p.out.letters, letter)
	p.out.reasons = append(p.out.reasons, bad.Reason)
}

// took turns what the engine decided into records at once: it is valid only until
// the engine's next event.
func (j *judge) took(p *partition, verdicts []schemas.Verdict, changes []schemas.BanChange) {
	now := schemas.Micros(time.Now().UnixMicro())
	for i := range verdicts {
		v := &verdicts[i]
		v.DetectedAt = now
		p.out.verdicts = append(p.out.verdicts, sink.VerdictRecord(j.topics.Verdicts, v))
		p.out.decisions = append(p.out.decisions, decision{rule: v.RuleID, action: v.Action, event: int64(v.EventTime)})
	}
	for _, c := range changes {
		p.out.bans = append(p.out.bans, sink.BanUpdate{Partition: p.tp.partition, Change: c})
	}
}

// summarized turns what the engine says of closed buckets into records, at once as in
// took. The mark becomes one where it is known how many partitions wait for it.
func (j *judge) summarized(p *partition, summaries []schemas.Summary, mark *schemas.SummaryMark) {
	for i := range summaries {
		p.out.summaries = append(p.out.summaries, sink.SummaryRecord(j.topics.EndpointStats, &summaries[i]))
	}
	m := *mark
	m.Traffic = slices.Clone(mark.Traffic)
	p.out.marks = append(p.out.marks, m)
}

// checkKey counts a record that is not keyed by its canonical subject: events of
// that subject may lie in several partitions, where no rule sees all of them.
func (j *judge) checkKey(out *outbox, r *kgo.Record, ev *schemas.Event) {
	addr, _ := j.at.identity.Client(ev)
	j.key = appendSubject(j.key[:0], j.at.identity.Network(addr))
	if string(j.key) == string(r.Key) {
		return
	}
	if out.miskeyed == 0 {
		out.stray, out.belongs = r, string(j.key)
	}
	out.miskeyed++
}

// appendSubject appends the text of a subject: an address, or a range.
func appendSubject(dst []byte, network netip.Prefix) []byte {
	if network.IsSingleIP() {
		return network.Addr().AppendTo(dst)
	}
	return network.AppendTo(dst)
}

// badRecord gives why a record cannot be used, nil if the decoder did not say.
func badRecord(err error) *schemas.BadRecord {
	if err == nil {
		return nil
	}
	if bad, ok := errors.AsType[*schemas.BadRecord](err); ok {
		return bad
	}
	return &schemas.BadRecord{Reason: schemas.ReasonJSON, Detail: err.Error()}
}
