package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/cmd/apiwarden/traffic"
)

// feeder is the demo's gateway: it sends traffic to the topic of events, keyed by
// client, and refuses those whom the ban topic bans.
type feeder struct {
	cl      *kgo.Client
	topic   string
	traffic *traffic.Traffic
	board   *board

	sent    atomic.Uint64 // acknowledged events
	bad     atomic.Uint64 // acknowledged records that are no events
	blocked atomic.Uint64

	mu      sync.Mutex
	failed  error
	pending []gateChange
}

// gateChange tells the gateway to refuse a client, or to let it in again.
type gateChange struct {
	client  netip.Addr
	refused bool
}

// pace is how often live traffic is sent.
const pace = 10 * time.Millisecond

// feederOpts are the options of the feeder's client: like those of any gateway's log
// shipper, with a queue that holds a history.
func feederOpts() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(2 * time.Millisecond),
		kgo.MaxBufferedRecords(50_000),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
	}
}

// refuse is safe to call while the feeder runs.
func (f *feeder) refuse(client netip.Addr, refused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, gateChange{client, refused})
}

// history sends the history, each record dated like its event, until stop, and waits
// until all that was sent is acknowledged.
func (f *feeder) history(ctx context.Context, stop <-chan struct{}) error {
	for ev := range f.traffic.History() {
		if closed(stop) || ctx.Err() != nil {
			break
		}
		f.send(ctx, ev, time.UnixMicro(ev.Time))
	}
	return f.flush(ctx)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// live sends traffic as time goes by, until stop or length is over (0: never), and
// spreads bad records over it. It does not wait for the last acknowledgements.
func (f *feeder) live(ctx context.Context, stop <-chan struct{}, start time.Time, length time.Duration, bad int) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	spoiled, named := 0, start
	spread := length
	if spread == 0 {
		spread = time.Minute
	}
	for {
		now := time.Now()
		done := length > 0 && now.Sub(start) >= length
		if done {
			now = start.Add(length)
		}
		f.openGate()
		for ev := range f.traffic.Until(now) {
			f.send(ctx, ev, time.Time{})
		}
		f.blocked.Store(f.traffic.Blocked())
		for due := int(float64(bad) * min(1, float64(now.Sub(start))/float64(spread))); spoiled < due; spoiled++ {
			f.spoil(ctx, spoiled, now)
		}
		if err := f.err(); err != nil || done {
			return err
		}
		if now.Sub(named) > time.Second { // an endless demo gets new ones
			named = now
			for _, a := range f.traffic.Attackers() {
				f.board.name(a.Addr, a.Name)
			}
		}
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// openGate does what refuse was told.
func (f *feeder) openGate() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.pending {
		f.traffic.Refuse(c.client, c.refused)
	}
	f.pending = f.pending[:0]
}

func (f *feeder) send(ctx context.Context, ev *traffic.Event, at time.Time) {
	r := &kgo.Record{Topic: f.topic, Key: ev.Client.AppendTo(nil), Value: ev.AppendJSON(make([]byte, 0, 480)), Timestamp: at}
	f.cl.Produce(ctx, r, func(_ *kgo.Record, err error) { f.acknowledged(&f.sent, err) })
}

// spoil sends a record that cannot be used, another kind each time.
func (f *feeder) spoil(ctx context.Context, i int, now time.Time) {
	r := &kgo.Record{Topic: f.topic, Key: []byte("203.0.113.255"), Value: traffic.BadRecord(i, now)}
	f.cl.Produce(ctx, r, func(_ *kgo.Record, err error) { f.acknowledged(&f.bad, err) })
}

func (f *feeder) acknowledged(counter *atomic.Uint64, err error) {
	if err == nil {
		counter.Add(1)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = fmt.Errorf("producing events to %s: %w", f.topic, err)
	}
}

func (f *feeder) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// flush waits until everything sent is acknowledged.
func (f *feeder) flush(ctx context.Context) error {
	if err := f.cl.Flush(ctx); err != nil {
		return fmt.Errorf("waiting for events to be acknowledged: %w", err)
	}
	return f.err()
}
