package consumer

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// rederiving is a partition of the log that is judged once more, from where its state
// began, or from where the log begins now.
type rederiving struct {
	*partition
	verify   *Verify
	judge    *judge
	until    int64 // it is judged up to here
	required int64 // detect has committed what comes before
	note     func(verdict *schemas.Verdict, flags expectedFlags) error
	from     int64          // where judging began
	first    schemas.Micros // the time of the first record
	records  int64          // judged; the ends of transactions are none

	// What precedes the log is missing: verdicts are not known before the horizon, in
	// event time. No event moves the clock beyond its record's time, so that the first
	// record tells the latest that it can be; more records tell whether the log is of
	// earlier events.
	horizon schemas.Micros
	blind   int   // records until it is drawn nearer; 0: it is, or there is none
	memory  int64 // of the rules, µs
	haze    *haze // nil: nothing is missing
}

const (
	noHorizon  = schemas.Micros(math.MinInt64)
	farHorizon = schemas.Micros(math.MaxInt64)
	// blindRecords is how many events it takes to know what time it is: some may be late.
	blindRecords = 1000
)

// rederivation prepares a partition.
func (v *Verify) rederivation(s *survey, g *gained) (*rederiving, error) {
	log := v.log.With(zap.String("topic", g.tp.topic), zap.Int32("partition", g.tp.partition))
	p := &partition{tp: g.tp, start: g.start, end: g.end, topicID: g.topicID}
	if stored := s.states[g.tp.partition]; stored != nil {
		for _, err := range stored.Unreadable {
			log.Warn("a record of the state topic cannot be used", zap.Error(err))
		}
		p.journal = findJournal(g, stored, p, log)
	}
	r := &rederiving{
		partition: p, verify: v, required: min(g.committed, g.end), horizon: noHorizon,
	}
	if r.until = r.required; v.cfg.Input.Rekey {
		r.until = g.end // an event of the logs does not tell in which partition its copy is
	}
	missing := g.start > 0
	if p.journal == nil {
		if g.committed >= 0 {
			v.remark("partition %d of %s has no journal: its verdicts are derived by the rules and bounds of the configuration", g.tp.partition, g.tp.topic)
		}
		p.journal = v.presumed(len(s.logs), g.start)
	} else {
		missing = g.start > p.journal.begin()
	}
	r.from = max(g.start, p.journal.begin())
	p.next = r.from
	if r.empty() {
		return r, nil
	}
	p.replay = &replay{end: math.MaxInt64, log: log}
	if err := v.library.rewind(p); err != nil {
		return nil, err
	}
	p.resume()
	r.memory = p.rules.program.Remembers()
	for _, st := range p.replay.steps {
		if st.rules != nil {
			r.memory = max(r.memory, st.rules.program.Remembers())
		}
	}
	if missing {
		r.cut(g.start)
	}
	return r, nil
}

// empty says that there is nothing to judge.
func (r *rederiving) empty() bool { return r.until <= r.from }

// presumed stands in for a journal that there is not.
func (v *Verify) presumed(inputs int, from int64) *journal {
	b := v.cfg.State.bound(int64(inputs), v.cfg.State.Shards)
	return &journal{Shards: v.cfg.State.Shards, Entries: []entry{{Offset: from, Kind: entryBegin, Rules: v.deps.Program.Hash(), Bound: &b}}}
}

// cut notes that the records before an offset are missing.
func (r *rederiving) cut(offset int64) {
	r.verify.remark("%s/%d begins at offset %d, after what its counts were made of: verdicts in the next %s of event time cannot be known",
		r.tp.topic, r.tp.partition, offset, schemas.Duration(r.memory*int64(time.Microsecond)))
	r.horizon, r.blind = farHorizon, blindRecords
	if r.haze == nil {
		r.haze = newHaze()
	}
}

// run judges the partition. Its engine is gone on return.
func (r *rederiving) run(ctx context.Context) error {
	v := r.verify
	rules, err := newRuleset(v.deps.Program, v.cfg.Input.decoderOptions())
	if err != nil {
		return err
	}
	r.judge = &judge{ruleset: rules, topics: v.cfg.Topics}
	if v.cfg.Input.Rekey {
		r.judge.sources = &sources{logs: v.cfg.Topics.Logs, keys: v.deps.Program.Keys()}
	}
	cl, err := sink.Connect(ctx, v.cfg.Kafka, v.log, append(spanOpts(), v.deps.Kafka...)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	reader := spanReader{cl: cl, topic: r.tp.topic, log: r.replay.log, take: r.take}
	if err := reader.read(ctx, map[int32]span{r.tp.partition: {r.next, r.until}}); err != nil {
		return err
	}
	if evicted := r.engine.Stats().Evicted; evicted > 0 && r.haze != nil {
		v.remark("%d records of counts were evicted in %s/%d, whose beginning is missing: which ones depends on what was in memory then, so single verdicts may differ without a fault",
			evicted, r.tp.topic, r.tp.partition)
	}
	r.engine, r.judge, r.rules, r.replay = nil, nil, nil, nil
	return nil
}

// take judges records.
func (r *rederiving) take(s stretchOfLog) error {
	if first := s.records[0].Offset; first > r.next && s.logStart > r.next {
		r.cut(first) // retention was faster
	}
	if r.horizon == farHorizon {
		r.horizon = schemas.Micros(s.records[0].Timestamp.UnixMicro() + r.memory)
	}
	for recs := s.records; len(recs) > 0; {
		n := r.alike(recs)
		if err := r.derive(recs[:n]); err != nil {
			return err
		}
		recs = recs[n:]
	}
	r.verify.judged(len(s.records))
	return nil
}

// alike is how many of recs lead to verdicts of which the same is known.
func (r *rederiving) alike(recs []*kgo.Record) int {
	n := len(recs)
	if r.blind > 0 {
		n = min(n, r.blind)
	}
	if recs[0].Offset < r.required {
		i := 1
		for i < n && recs[i].Offset < r.required {
			i++
		}
		n = i
	}
	return n
}

func (r *rederiving) derive(recs []*kgo.Record) error {
	r.judge.records(r.partition, recs)
	if r.first == 0 {
		if r.first = schemas.Micros(recs[0].Timestamp.UnixMicro()); r.judge.sources != nil {
			r.judge.sources.read(recs[0])
			r.first = schemas.Micros(r.judge.sources.time)
		}
	}
	last := recs[len(recs)-1].Offset
	r.next = last + 1
	for _, rec := range recs {
		if !rec.Attrs.IsControl() {
			r.records++
		}
	}
	defer r.out.reset()
	for _, rec := range r.out.verdicts {
		var v schemas.Verdict
		if err := schemas.DecodeVerdict(rec.Value, &v); err != nil {
			return fmt.Errorf("taking a verdict of %s/%d: %w", r.tp.topic, r.tp.partition, err)
		}
		var flags expectedFlags
		if last >= r.required {
			flags |= notReached
		}
		if v.EventTime < r.horizon {
			flags |= notKnown
		}
		if r.haze != nil {
			r.haze.verdict(&v, false)
		}
		if err := r.note(&v, flags); err != nil {
			return err
		}
	}
	if r.blind > 0 {
		if r.blind -= len(recs); r.blind <= 0 {
			r.draw()
		}
	}
	return nil
}

// draw draws the horizon nearer.
func (r *rederiving) draw() {
	r.blind = 0
	r.horizon = min(r.horizon, schemas.Micros(r.engine.Newest()+r.memory))
}
