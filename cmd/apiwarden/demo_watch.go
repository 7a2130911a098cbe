package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

// watchOpts are the options of a client that reads what detection writes, as any
// subscriber would.
func watchOpts(t sink.Topics) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumeTopics(t.Verdicts, t.Bans, t.DLQ),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500 * time.Millisecond),
	}
}

// watch brings verdicts, bans and dead letters to the board until ctx ends, and
// tells the gateway whom to refuse.
func (d *demo) watch(ctx context.Context) error {
	seer := d.course.seer
	for {
		fetches := seer.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		now := time.Now()
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			if err := d.see(r, now); err != nil {
				failed = fmt.Errorf("reading %s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
			}
			d.course.sawTo(r.Topic, r.Partition, r.Offset+1)
		})
		if failed != nil {
			return failed
		}
	}
}

func (d *demo) see(r *kgo.Record, now time.Time) error {
	switch r.Topic {
	case d.cfg.Topics.Verdicts:
		var v schemas.Verdict
		if err := schemas.DecodeVerdict(r.Value, &v); err != nil {
			return err
		}
		d.board.verdict(v, now)
	case d.cfg.Topics.Bans:
		if len(r.Value) == 0 {
			d.gate(d.board.ban(string(r.Key), nil, now), false)
			return nil
		}
		var b schemas.Ban
		if err := schemas.DecodeBan(r.Value, &b); err != nil {
			return err
		}
		d.board.ban(string(r.Key), &b, now)
		d.gate(&b, b.Action == schemas.ActionBan)
	case d.cfg.Topics.DLQ:
		d.board.deadLetter()
	}
	return nil
}

// gate tells the gateway what a change of the ban topic means for it.
func (d *demo) gate(b *schemas.Ban, refused bool) {
	if b == nil || b.Scope != schemas.ScopeIP {
		return
	}
	if addr, err := netip.ParseAddr(b.Value); err == nil {
		d.feeder.refuse(addr, refused)
	}
}

// holdsRecords says whether any of the topics that the demo writes to exists and
// has something in it.
func holdsRecords(ctx context.Context, cl *kgo.Client, t sink.Topics) (bool, error) {
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, t.Logs, t.Verdicts, t.Bans, t.DLQ)
	if err != nil {
		return false, fmt.Errorf("looking at topic %s: %w", t.Logs, err)
	}
	used := false
	ends.Each(func(o kadm.ListedOffset) { used = used || o.Err == nil && o.Offset > 0 })
	return used, nil
}

// ready says whether detect and store are at work.
func (d *demo) ready(context.Context) (bool, error) {
	ok, why := d.process.ready()
	if !ok {
		return false, errors.New(why)
	}
	return true, nil
}

// judged says whether detect has finished, and committed, all events that were sent.
func (d *demo) judged(ctx context.Context) (bool, error) {
	return d.course.committed(ctx, d.cfg.Kafka.Group, d.cfg.Topics.Logs)
}

// finished says whether everything that was sent is judged and stored, and
// everything that came of it was seen.
func (d *demo) finished(ctx context.Context) (bool, error) {
	if done, err := d.judged(ctx); !done || err != nil {
		return false, err
	}
	store := d.process.store.Group()
	done, err := d.course.committed(ctx, store, d.cfg.Topics.Logs)
	if !done || err != nil {
		return false, err
	}
	seen, err := d.course.sawAll(ctx, d.cfg.Topics.Verdicts, d.cfg.Topics.Bans, d.cfg.Topics.DLQ)
	if !seen || err != nil {
		return false, err
	}
	return d.course.committed(ctx, store, d.cfg.Topics.Verdicts)
}

// errTooSlow says that detection or storage did not get there in time.
var errTooSlow = errors.New("detection or storage did not catch up in time")
