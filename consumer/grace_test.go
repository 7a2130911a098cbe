package consumer

import (
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/schemas"
)

func TestGrace(t *testing.T) {
	const patience = 30 * time.Second
	began := time.Unix(1_000_000, 0)
	type step struct {
		at        time.Duration
		partition int32 // of 3; -1: nobody says anything
		closed    int64
		want      int64
	}
	for name, steps := range map[string][]step{
		"nothing is known": {{0, -1, 0, 0}, {time.Hour, -1, 0, 0}},
		"one partition never speaks": {
			{0, 0, 100, 0}, {time.Second, 1, 100, 0}, {29 * time.Second, -1, 0, 0}, {30 * time.Second, -1, 0, 100},
			{35 * time.Second, 0, 110, 100}, {36 * time.Second, 1, 110, 100}, {65 * time.Second, -1, 0, 110},
		},
		"one partition stops": {
			{0, 0, 100, 0}, {0, 1, 100, 0}, {0, 2, 100, 0}, {10 * time.Second, 0, 110, 0}, {10 * time.Second, 1, 110, 0},
			{39 * time.Second, -1, 0, 100}, {40 * time.Second, -1, 0, 110},
		},
		"one partition is behind and gets on": {
			{0, 0, 900, 0}, {0, 1, 900, 0}, {20 * time.Second, 2, 100, 0}, {40 * time.Second, 2, 200, 200}, {60 * time.Second, 2, 300, 300},
			{80 * time.Second, 2, 900, 900},
		},
		"one partition is behind and will never catch up": {
			{0, 0, 900, 0}, {150 * time.Second, 2, 100, 100}, {279 * time.Second, 2, 200, 200}, {299 * time.Second, 2, 210, 210}, {300 * time.Second, 2, 220, 900},
			{301 * time.Second, 2, 230, 900},
		},
		"a mark comes again":            {{0, 0, 900, 0}, {20 * time.Second, 0, 900, 0}, {30 * time.Second, 0, 100, 900}},
		"a partition that there is not": {{0, 3, 900, 0}, {time.Hour, -1, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrace(patience)
			for _, s := range steps {
				if s.partition >= 0 {
					g.mark(&schemas.SummaryMark{Partition: s.partition, Partitions: 3, Closed: s.closed}, began.Add(s.at))
				}
				if got := g.until(began.Add(s.at)); got != s.want {
					t.Fatalf("after %v buckets may be judged up to %d, want %d", s.at, got, s.want)
				}
			}
		})
	}
}

// TestGraceStaysSmall: what it remembers does not grow with what is read.
func TestGraceStaysSmall(t *testing.T) {
	g := newGrace(30 * time.Second)
	at := time.Unix(0, 0)
	for i := range int64(10_000) {
		at = at.Add(10 * time.Second)
		g.mark(&schemas.SummaryMark{Partitions: 2, Closed: 10 * (i + 1)}, at)
		g.until(at)
	}
	if n := len(g.newest); n > 40 {
		t.Errorf("%d passages are kept", n)
	}
}
