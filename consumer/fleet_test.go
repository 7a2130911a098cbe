package consumer

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/sink"
)

// fleet is many members of one group. They join with the options that detect joins
// with, and have no events: what is looked at is who owns which partition and when.
type fleet struct {
	cfg    Config
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	rest   time.Duration // between changes, until nobody expects another one
	static bool          // members keep their name, and with it their partitions, over a restart

	mu    sync.Mutex
	owner map[int32]string
	since map[int32]time.Time // unowned partitions, and since when
	moves int                 // partitions that went from one member to another one
	last  map[int32]string    // who owned a partition last
	at    time.Time           // of the last change
	gap   time.Duration       // the longest time that a partition had no owner, since calm
	lost  time.Duration       // all partitions' time without an owner, since calm
	crew  map[string]*deckhand
}

// deckhand is a member.
type deckhand struct {
	member
	stop  func() // leaves the group
	crash func() // says nothing to anybody
}

// wire is a member's connections.
type wire struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex
	conns []net.Conn
	gone  bool
}

// Dial gives a connection until the wire is cut.
func (w *wire) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := w.dial(ctx, network, addr)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.gone {
		conn.Close()
		return nil, net.ErrClosed
	}
	if err == nil {
		w.conns = append(w.conns, conn)
	}
	return conn, err
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	for _, c := range w.conns {
		c.Close()
	}
}

func newFleet(cfg Config, static bool) *fleet {
	return &fleet{
		cfg: cfg, dial: (&net.Dialer{}).DialContext, rest: 20 * time.Second, static: static,
		owner: make(map[int32]string), since: make(map[int32]time.Time),
		last: make(map[int32]string), crew: make(map[string]*deckhand),
	}
}

// enter starts members and waits until none of them is without its share.
func (f *fleet) enter(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		f.start(t, name)
	}
	f.settle(t)
}

func (f *fleet) start(t *testing.T, name string) {
	t.Helper()
	d, wire := &deckhand{}, &wire{dial: f.dial}
	opts := []kgo.Opt{
		kgo.Dialer(wire.Dial),
		kgo.FetchMaxWait(30 * time.Second), // nothing comes: ask seldom
		// The client's commits wait at a lock while it joins. Whoever waits at a lock
		// keeps the bubble's clock from moving on, and with it the join from ending.
		kgo.AutoCommitInterval(24 * time.Hour),
	}
	cfg := f.cfg
	if f.static {
		cfg.Kafka.InstanceID = name
	}
	ctx, cancel := context.WithCancel(t.Context())
	d.member = member{cfg: cfg, deps: Deps{Kafka: opts}, log: zap.NewNop(), lasting: t.Context()}
	err := d.join(ctx, f.cfg.Kafka.Group, []string{f.cfg.Topics.Logs},
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { f.gained(t, name, p[f.cfg.Topics.Logs]) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, cl *kgo.Client, p map[string][]int32) {
			d.commitRevoked(cl)
			f.gone(name, p[f.cfg.Topics.Logs])
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { f.gone(name, p[f.cfg.Topics.Logs]) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			d.poll(ctx, detectPoll, pollWait)
			d.cl.AllowRebalance()
		}
	}()
	end := sync.OnceFunc(func() {
		cancel()
		<-done
		f.mu.Lock()
		delete(f.crew, name)
		f.mu.Unlock()
	})
	d.stop = sync.OnceFunc(func() {
		end()
		d.leave()
		f.gone(name, f.owned(name))
	})
	d.crash = func() {
		wire.cut()
		end()
		f.gone(name, f.owned(name))
	}
	t.Cleanup(d.stop)
	f.crew[name] = d
}

func (f *fleet) gained(t *testing.T, name string, partitions []int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range partitions {
		if who := f.owner[p]; who != "" && who != name {
			t.Errorf("partition %d is given to %s while %s has it", p, name, who)
		}
		if f.last[p] != "" && f.last[p] != name {
			f.moves++
		}
		if since, ok := f.since[p]; ok {
			f.gap = max(f.gap, time.Since(since))
			f.lost += time.Since(since)
			delete(f.since, p)
		}
		f.owner[p], f.last[p], f.at = name, name, time.Now()
	}
}

func (f *fleet) gone(name string, partitions []int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range partitions {
		if f.owner[p] == name {
			delete(f.owner, p)
			f.since[p], f.at = time.Now(), time.Now()
		}
	}
}

func (f *fleet) owned(name string) []int32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var own []int32
	for p, who := range f.owner {
		if who == name {
			own = append(own, p)
		}
	}
	return own
}

// shares gives the smallest and the largest number of partitions that a member has,
// and how many partitions nobody has.
func (f *fleet) shares() (smallest, largest, orphans int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	count := make(map[string]int)
	for name := range f.crew {
		count[name] = 0
	}
	for _, name := range f.owner {
		count[name]++
	}
	all := slices.Collect(maps.Values(count))
	return slices.Min(all), slices.Max(all), int(f.cfg.Kafka.Partitions) - len(f.owner)
}

// settle waits until the partitions are shared out evenly.
func (f *fleet) settle(t *testing.T) {
	t.Helper()
	for range 3000 {
		if smallest, largest, orphans := f.shares(); orphans == 0 && largest-smallest <= 1 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	smallest, largest, orphans := f.shares()
	t.Fatalf("not shared out after five minutes: members have %d to %d partitions, %d have no owner", smallest, largest, orphans)
}

// change is what a change of the fleet did to its partitions.
type change struct {
	took  time.Duration // from its begin to the last partition's new owner
	moves int           // partitions that have another owner than before
	gap   time.Duration // the longest time that a partition had no owner
	lost  time.Duration // the sum over partitions of that time
}

// changed measures what do leads to, from a fleet at rest to a fleet at rest.
func (f *fleet) changed(t *testing.T, do func()) change {
	t.Helper()
	time.Sleep(f.rest)
	f.mu.Lock()
	f.moves, f.gap, f.lost = 0, 0, 0
	f.mu.Unlock()
	began := time.Now()
	do()
	f.settle(t)
	f.mu.Lock()
	defer f.mu.Unlock()
	return change{took: f.at.Sub(began), moves: f.moves, gap: f.gap, lost: f.lost}
}

func names(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("process-%03d", i))
	}
	return out
}

// away is how long a process is away for a restart.
const away = 5 * time.Second

// atFleet runs a test with members of a group and the partitions of a topic.
func atFleet(t *testing.T, members int, partitions int32, static bool, test func(*testing.T, *fleet)) {
	atSite(t, func(t *testing.T, s *site) {
		s.cfg.Kafka.Group, s.cfg.Topics.Logs, s.cfg.Kafka.Partitions = "fleet", "fleet-logs", partitions
		if _, err := s.adm.CreateTopic(t.Context(), partitions, 1, nil, s.cfg.Topics.Logs); err != nil {
			t.Fatal(err)
		}
		f := newFleet(s.cfg, static)
		f.dial = s.net.DialContext
		f.enter(t, names(0, members)...)
		test(t, f)
	})
}

// worst gives the worst of several changes that begin at different moments between two
// heartbeats, which is what their time depends on.
func worst(changes ...change) change {
	w := changes[0]
	for _, c := range changes {
		w.took, w.gap, w.moves = max(w.took, c.took), max(w.gap, c.gap), max(w.moves, c.moves)
	}
	return w
}

// TestMembersShareWhatTheModelSays compares what the model predicts of a group with
// what the real balancer and the real protocol do, from two members to a hundred with
// 500 partitions: how many partitions move, and for how long they have no owner.
func TestMembersShareWhatTheModelSays(t *testing.T) {
	for _, size := range []struct {
		members    int
		partitions int32
	}{{2, 12}, {3, 12}, {5, 40}, {10, 50}, {100, 500}} {
		t.Run(fmt.Sprintf("members=%d", size.members), func(t *testing.T) {
			atFleet(t, size.members, size.partitions, false, func(t *testing.T, f *fleet) {
				m := groupModel(int(size.partitions))
				r := m.begin(size.members)
				r.leave(1, true)
				leaving := r.moves
				r.join(1)
				joining := r.moves - leaving

				var left, joined []change
				for _, phase := range []time.Duration{0, 1700} {
					time.Sleep(phase * time.Millisecond)
					left = append(left, f.changed(t, func() { f.crew["process-001"].stop() }))
					joined = append(joined, f.changed(t, func() { f.enter(t, "process-001") }))
				}
				for _, c := range []struct {
					what      string
					is        change
					moves     int
					rounds    int
					predicted time.Duration
				}{
					{"one leaves", worst(left...), leaving, 1, m.notice},
					{"one joins", worst(joined...), joining, m.rounds, m.notice},
				} {
					t.Logf("%s: %d partitions move (predicted %d), without an owner for %v at most (predicted %v or less), over after %v", c.what, c.is.moves, c.moves, c.is.gap, c.predicted, c.is.took)
					if c.is.moves > c.moves+1 || c.is.moves < c.moves-1 {
						t.Errorf("%s: %d partitions move, the model says %d", c.what, c.is.moves, c.moves)
					}
					if limit := c.predicted + time.Second; c.is.gap > limit {
						t.Errorf("%s: a partition has no owner for %v, the model says %v at most", c.what, c.is.gap, c.predicted)
					}
					if limit := time.Duration(c.rounds)*m.notice + time.Second; c.is.took > limit {
						t.Errorf("%s: over after %v, the model says %v at most", c.what, c.is.took, limit)
					}
				}
			})
		})
	}
}

// TestRollingRestart restarts two of forty members one after the other, each away for
// five seconds: without a name of their own, and as static members.
func TestRollingRestart(t *testing.T) {
	for _, static := range []bool{false, true} {
		t.Run(fmt.Sprintf("static=%v", static), func(t *testing.T) {
			atFleet(t, 40, 200, static, func(t *testing.T, f *fleet) {
				var all []change
				for _, name := range names(20, 22) {
					all = append(all, f.changed(t, func() {
						f.crew[name].stop()
						time.Sleep(away)
						f.enter(t, name)
					}))
				}
				moves := 0
				for _, c := range all {
					moves += c.moves
				}
				w := worst(all...)
				t.Logf("two restarts: %d moves of partitions, one has no owner for %v at most, over after %v", moves, w.gap, w.took)
				switch {
				case static && moves > 0:
					t.Errorf("%d partitions moved, although they were to wait for their owner", moves)
				case static && w.gap > away+groupModel(200).notice+time.Second:
					t.Errorf("a partition had no owner for %v", w.gap)
				case !static && (moves < 18 || moves > 22):
					t.Errorf("%d partitions moved, want ten for each restart: away and back", moves)
				case !static && w.gap > 5*time.Second:
					t.Errorf("a partition had no owner for %v", w.gap)
				}
			})
		})
	}
}

// TestFleetStartsAndLosesOne starts a hundred members at once, and lets one of them
// crash: the group notices when its session times out.
func TestFleetStartsAndLosesOne(t *testing.T) {
	atFleet(t, 1, 500, false, func(t *testing.T, f *fleet) {
		started := f.changed(t, func() { f.enter(t, names(1, 100)...) })
		t.Logf("99 join one: over after %v", started.took)
		crashed := f.changed(t, func() { f.crew["process-042"].crash() })
		t.Logf("one crashes: %d partitions move, without an owner for %v", crashed.moves, crashed.gap)
		if started.took > time.Minute || crashed.moves < 4 || crashed.moves > 6 || crashed.gap > time.Duration(f.cfg.Kafka.SessionTimeout)+groupModel(500).notice+2*time.Second {
			t.Errorf("start %+v, crash %+v", started, crashed)
		}
	})
}

// realFleet is members of a group at a real broker, in real time.
func realFleet(t *testing.T, protocol string, members int, partitions int32, static bool) *fleet {
	t.Helper()
	cfg := realConfig(t)
	cfg.Kafka.GroupProtocol, cfg.Kafka.Partitions = protocol, partitions
	cl, err := sink.Connect(t.Context(), cfg.Kafka, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := sink.EnsureTopics(t.Context(), cl, cfg.Kafka, cfg.Topics, zap.NewNop(), cfg.Topics.Logs); err != nil {
		t.Fatal(err)
	}
	f := newFleet(cfg, static)
	f.rest = time.Second
	f.enter(t, names(0, members)...)
	return f
}

// TestRollingRestartAtKafka restarts two members with names of their own, one after
// the other: no partition goes to the other one.
func TestRollingRestartAtKafka(t *testing.T) {
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			f := realFleet(t, protocol, 2, 12, true)
			for _, name := range names(0, 2) {
				c := f.changed(t, func() {
					f.crew[name].stop()
					time.Sleep(2 * time.Second)
					f.enter(t, name)
				})
				t.Logf("%s restarts: %+v", name, c)
				if c.moves != 0 {
					t.Errorf("%d partitions moved, although they were to wait for %s", c.moves, name)
				}
			}
		})
	}
}

// TestMembersShareAtKafka is the same with a real broker in real time, at a size that
// does not take long.
func TestMembersShareAtKafka(t *testing.T) {
	f := realFleet(t, sink.GroupClassic, 5, 40, false)
	m := groupModel(40)
	left := f.changed(t, func() { f.crew["process-001"].stop() })
	joined := f.changed(t, func() { f.enter(t, "process-001") })
	t.Logf("one of five leaves: %+v, joins: %+v", left, joined)
	if left.moves != 8 || joined.moves != 8 {
		t.Errorf("%d and %d partitions moved, the model says 8", left.moves, joined.moves)
	}
	if limit := m.notice + 2*time.Second; left.gap > limit || joined.gap > limit {
		t.Errorf("partitions had no owner for %v and %v, the model says %v at most", left.gap, joined.gap, m.notice)
	}
}
