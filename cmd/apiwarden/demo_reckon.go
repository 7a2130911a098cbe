package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/apiwarden/apiwarden/sink"
)

// reckon compares what was sent with what came out.
func (d *demo) reckon(ctx context.Context, seconds float64, settled, interrupted bool) (*reckoning, error) {
	t := d.feeder.traffic
	verdicts, bans, dead := d.board.counts()
	r := &reckoning{
		Seconds: seconds, EventsProduced: d.feeder.sent.Load(), Verdicts: uint64(verdicts), Bans: bans, DeadLettered: dead,
		badSent: d.feeder.bad.Load(), settled: settled, refused: t.Blocked(),
	}
	r.history, r.live = t.Events()
	r.judgeActors(t.Attackers(), t.Innocents(), d.board.bannedSubjects(), interrupted)
	if age, ok := d.board.age(0.99); ok {
		r.P99 = float64(age) / float64(time.Millisecond)
	}
	opts, err := d.cfg.ClickHouse.Opts()
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("asking ClickHouse what it has: %w", err)
	}
	defer conn.Close()
	count := func(query string, args ...any) (n, rows uint64) {
		if err == nil {
			err = conn.QueryRow(ctx, fmt.Sprintf(query, args...)).Scan(&n, &rows)
		}
		return n, rows
	}
	db := d.cfg.ClickHouse.Database
	// Each once: as many different ones as rows after merging. What was delivered
	// twice and is not merged yet is told apart by the raw count.
	events, eventRows := count("SELECT uniqExact(topic, partition, offset), count() FROM %s.events", db)
	merged, _ := count("SELECT count(), 0::UInt64 FROM %s.events FINAL", db)
	stored, verdictRows := count("SELECT uniqExact(verdict_id), count() FROM %s.verdicts", db)
	mergedVerdicts, _ := count("SELECT count(), 0::UInt64 FROM %s.verdicts FINAL", db)
	if err != nil {
		return nil, fmt.Errorf("counting rows in ClickHouse: %w", err)
	}
	if merged != events || mergedVerdicts != stored {
		return nil, fmt.Errorf("counting rows in ClickHouse: FINAL gives %d events and %d verdicts, there are %d and %d different ones",
			merged, mergedVerdicts, events, stored)
	}
	r.EventsStored, r.VerdictsStored = events, stored
	r.twice = eventRows - events + verdictRows - stored
	return r, nil
}

// holdsEvents says whether a server has a table of events with something in it.
func holdsEvents(ctx context.Context, cfg sink.ClickHouseConfig) (bool, error) {
	opts, err := cfg.Opts()
	if err != nil {
		return false, err
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return false, fmt.Errorf("asking ClickHouse at %s what it has: %w", cfg.Addresses[0], err)
	}
	defer conn.Close()
	var tables, rows uint64
	err = conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = ? AND name = 'events'", cfg.Database).Scan(&tables)
	if err == nil && tables > 0 {
		err = conn.QueryRow(ctx, "SELECT count() FROM "+cfg.Database+".events").Scan(&rows)
	}
	if err != nil {
		return false, fmt.Errorf("asking ClickHouse at %s what it has: %w", cfg.Addresses[0], err)
	}
	return rows > 0, nil
}
