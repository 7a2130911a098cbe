package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector's own rule is to let garbage grow until it is as much as what
// lives. What lives here is mostly counts, which hold no pointers and cost a
// collection nothing, so that rule doubles memory for little: per address 430 bytes
// were resident instead of 256 (`apiwarden bench --only memory`). What makes
// collections dear are the records in hand, and how many of those there are does not
// depend on the counts. So garbage gets a fixed room instead.
const (
	garbageRoom   = 128 << 20 // bytes: about four collections a second at full load
	mostGCPercent = 400       // where little lives: a small process stays small
	leastPercent  = 10
	headroomEvery = 200 * time.Millisecond // while partitions are filled, what lives doubles within seconds
)

// What a process that detects may use, besides half as much again as state.max_bytes:
// records in hand, the client's buffers, garbage. outsideHeap of it is what the
// collector does not know of, such as the program itself.
const (
	besideState = 200 << 20
	outsideHeap = 48 << 20
)

// limitMemory has the collector work harder before a process uses more than the bound
// on its state accounts for: with five million spoofed addresses and 256 MiB of state
// it had 657 MB at its peak while it caught up, in garbage that was allowed to pile up.
// It leaves the limit alone where GOMEMLIMIT is set.
func limitMemory(state int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(state + state/2 + besideState - outsideHeap)
	}
}

// keepHeadroom sets the garbage collector's percentage to what the heap is at the
// moment, until ctx is done. It leaves it alone where GOGC is set: somebody has
// thought about it. GOMEMLIMIT holds beside it.
func keepHeadroom(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(headroomEvery)
	defer tick.Stop()
	now := 100
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Each change stops the world for a moment: only those that matter are made.
		if next := gcPercent(liveHeap()); next*5 < now*4 || next*4 > now*5 {
			debug.SetGCPercent(next)
			now = next
		}
	}
}

// gcPercent leaves garbage garbageRoom where live bytes are in use.
func gcPercent(live uint64) int {
	return int(min(max(garbageRoom*100/max(live, 1), leastPercent), mostGCPercent))
}

// liveHeap is what the last collection found in use.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return garbageRoom // the collector's own rule
	}
	return sample[0].Value.Uint64()
}
