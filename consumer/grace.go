package consumer

import (
	"math"
	"time"

	"github.com/apiwarden/apiwarden/schemas"
)

// longestGrace is for how many times the grace a partition of the log is waited for that
// is behind the others and gets on.
const longestGrace = 10

// grace says which buckets need not wait any longer for all partitions of the log. A
// partition may have nothing to say; another one is read with a delay, or catches up, and
// what it says then must not come too late. Its clock is whatever its user says.
type grace struct {
	patience   time.Duration
	partitions map[int32]passage // how far each has come
	newest     []passage         // how far the farthest had come, since what is still waited for
	idle       int64             // what patience has passed for
	late       int64             // what longestGrace times patience has passed for
}

// passage is a moment at which a partition was through with all that ends at closed.
type passage struct {
	closed int64 // s since the epoch
	at     time.Time
}

func newGrace(patience time.Duration) *grace {
	return &grace{patience: patience, partitions: make(map[int32]passage)}
}

// mark notes how far a partition is.
func (g *grace) mark(m *schemas.SummaryMark, at time.Time) {
	if int(m.Partition) >= m.Partitions || m.Closed <= g.partitions[m.Partition].closed {
		return
	}
	p := passage{m.Closed, at}
	g.partitions[m.Partition] = p
	if n := len(g.newest); n == 0 || g.newest[n-1].closed < m.Closed {
		g.newest = append(g.newest, p)
	}
}

// heard is how far all partitions are from which there was a mark.
func (g *grace) heard() int64 {
	least := int64(math.MaxInt64)
	for _, p := range g.partitions {
		least = min(least, p.closed)
	}
	if len(g.partitions) == 0 {
		return 0
	}
	return least
}

// until gives the end of the last bucket that has waited for long enough: for partitions
// that have not got on within the patience, and for others up to longestGrace times that.
// It is 0 where there is none.
func (g *grace) until(now time.Time) int64 {
	for _, p := range g.newest {
		if now.Sub(p.at) >= g.patience {
			g.idle = max(g.idle, p.closed)
		}
		if now.Sub(p.at) >= longestGrace*g.patience {
			g.late = max(g.late, p.closed)
		}
	}
	for len(g.newest) > 1 && g.newest[0].closed <= g.late {
		g.newest = g.newest[1:]
	}
	until := g.idle
	for _, p := range g.partitions {
		if now.Sub(p.at) < g.patience {
			until = min(until, p.closed)
		}
	}
	return max(until, g.late)
}
