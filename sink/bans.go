package sink

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
)

// Headers of the ban topic, for its writers alone.
const (
	headerWriter = "apiwarden-writer" // names the process that wrote the record
	headerRules  = "apiwarden-rules"  // of a ban by hand: what rules have decided besides, as a ban; empty: nothing
)

// sweepEvery is how often bans are looked for that the clock has ended, and writes of
// others that have to be repaired.
const sweepEvery = 250 * time.Millisecond

// strayPatience is how long a write of another process stands before it is repaired.
// That process may know of a manual change which has not reached us yet: two that do
// not know the same would else write against each other as fast as they can.
const strayPatience = 250 * time.Millisecond

// BanUpdate is a change that a partition of the input has led to.
type BanUpdate struct {
	Partition int32
	Change    schemas.BanChange
}

// Bans keeps the ban topic right. The topic has several writers (a partition's owner
// changes, a stalled one wakes up), so it follows the topic and merges: what belongs
// there for a subject is the stronger action, its later end and all rule ids of what
// our partitions enforce and of what somebody else wrote. It writes where the topic
// differs, and a tombstone only where what stands there has ended: by a decision, by
// hand, or by the clock, which is what ends bans of an idle partition and of former
// runs. What people say (see Control) every process knows and applies by itself.
//
// All its state is behind one lock that is held until what was decided under it is
// acknowledged: so of two writes for a subject the later decision is the later record.
type Bans struct {
	followed
	writer string
	out    *Producer
	m      *Metrics
	now    func() time.Time

	ready  chan struct{} // closed once the topic has been read to its end
	manual chan struct{} // closed once Control was told what people have said before
	lock   chan struct{} // holds one token while table and strays are used
	table  *banTable
	strays map[string]time.Time // keys that others have written, since when

	goneMu sync.Mutex
	gone   []int32 // partitions given up, to be told to table
}

// BansConfig is what NewBans needs. Client was made with ProducerOpts and FollowOpts.
type BansConfig struct {
	Client   *kgo.Client
	Topic    string
	Producer *Producer
	Metrics  *Metrics
	Log      *zap.Logger
	Now      func() time.Time // nil: time.Now
}

// NewBans starts nothing; see Run.
func NewBans(c BansConfig) *Bans {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Bans{
		followed: followed{cl: c.Client, topic: c.Topic, log: c.Log}, writer: rand.Text(), out: c.Producer, m: c.Metrics, now: c.Now,
		ready: make(chan struct{}), manual: make(chan struct{}), lock: make(chan struct{}, 1), table: newBanTable(),
		strays: make(map[string]time.Time),
	}
}

// Ready reports whether the topic has been read to where it ended at the start.
func (b *Bans) Ready() bool {
	select {
	case <-b.ready:
		return true
	default:
		return false
	}
}

// Publish brings the topic in line with the updates, in their order, and returns nil
// when what had to be written is acknowledged. A ban whose end the clock has passed
// is not published. It waits until Run has read the topic once. Safe for concurrent use.
func (b *Bans) Publish(ctx context.Context, updates []BanUpdate) error {
	if len(updates) == 0 {
		return nil
	}
	if err := b.enterReady(ctx); err != nil {
		return err
	}
	defer b.leave()
	keys := make([]string, 0, len(updates))
	for _, u := range updates {
		keys = append(keys, b.table.change(u.Partition, u.Change))
	}
	return b.settle(ctx, keys, writeChange)
}

// Enforce says all that a partition enforces at this moment, in place of what was
// known of it, and returns when the topic holds it: written is only what differs, as
// after a restart, when the topic has it already. It waits like Publish.
func (b *Bans) Enforce(ctx context.Context, partition int32, bans []schemas.Ban) error {
	if err := b.enterReady(ctx); err != nil {
		return err
	}
	defer b.leave()
	return b.settle(ctx, b.table.enforce(partition, bans), writeRepair)
}

// Control takes manual changes, in the order of the control topic, and brings the ban
// topic in line with them; it returns nil when what had to be written is acknowledged.
// The first call brings all that people have said before, even if that is nothing, and
// only takes note: until then nothing is published, for it could be what a person has
// ended. One goroutine calls it; it may run beside all other methods.
func (b *Bans) Control(ctx context.Context, records []ControlRecord) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.leave()
	var keys []string
	for i := range records {
		keys = append(keys, b.table.control(records[i].Control)...)
	}
	select {
	case <-b.manual:
	default:
		close(b.manual)
	}
	if !b.Ready() {
		return nil // Run has yet to look at every key
	}
	return b.settle(ctx, keys, writeChange)
}

// Forget gives up partitions that another process owns now. What they enforced
// stands until it ends. It never waits: it may be called while partitions are revoked.
func (b *Bans) Forget(partitions ...int32) {
	b.goneMu.Lock()
	defer b.goneMu.Unlock()
	b.gone = append(b.gone, partitions...)
}

// Run follows the topic and ends what the clock has ended, until ctx is done (nil)
// or the cluster refuses us.
func (b *Bans) Run(ctx context.Context) error {
	if err := b.catchUp(ctx, b.take); err != nil {
		return err
	}
	select {
	case <-b.manual:
	case <-ctx.Done():
		return nil
	}
	if err := b.settleAll(ctx); err != nil {
		return unlessDone(ctx, err)
	}
	for ctx.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, sweepEvery)
		fetches := b.cl.PollFetches(poll)
		cancel()
		if err := b.turn(ctx, fetches); err != nil {
			return unlessDone(ctx, err)
		}
	}
	return nil
}

func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// turn takes what others wrote and what time has done since the last one.
func (b *Bans) turn(ctx context.Context, fetches kgo.Fetches) error {
	anew, err := b.errors(fetches)
	if err != nil {
		return err
	}
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.leave()
	if anew {
		// The topic was deleted and perhaps created again: everything we enforce has
		// to be written, and everything it holds has to be read, once more.
		b.anew()
		b.table.reset()
		if err := b.settle(ctx, b.table.keys(), writeRepair); err != nil {
			return err
		}
		return wait(ctx, time.Second)
	}
	for _, key := range b.read(fetches) {
		if _, waits := b.strays[key]; !waits {
			b.strays[key] = b.now()
		}
	}
	if err := b.settle(ctx, b.settled(), writeRepair); err != nil {
		return err
	}
	return b.settle(ctx, b.table.ending(b.micros()), writeChange)
}

// settled gives the keys that others have written some time ago. The lock is held.
func (b *Bans) settled() []string {
	var keys []string
	for key, since := range b.strays {
		if b.now().Sub(since) >= strayPatience {
			delete(b.strays, key)
			keys = append(keys, key)
		}
	}
	return keys
}

// settleAll looks at every key for the first time.
func (b *Bans) settleAll(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.leave()
	if err := b.settle(ctx, b.table.keys(), writeRepair); err != nil {
		return err
	}
	close(b.ready)
	return nil
}

// settle writes what has to be written for keys and waits for it. The lock is held.
func (b *Bans) settle(ctx context.Context, keys []string, why string) error {
	slices.Sort(keys)
	now := b.micros()
	var writes []banWrite
	var recs []*kgo.Record
	for _, key := range slices.Compact(keys) {
		w, due := b.table.settle(key, now)
		if !due {
			continue
		}
		r := &kgo.Record{Topic: b.topic, Key: []byte(key), Headers: []kgo.RecordHeader{{Key: headerWriter, Value: []byte(b.writer)}}}
		if w.value != nil {
			fillBan(r, w.value)
		}
		writes, recs = append(writes, w), append(recs, r)
	}
	if err := b.out.Send(ctx, recs); err != nil {
		return err
	}
	for i, w := range writes {
		b.table.wrote(w.key, w.value, recs[i].Offset)
		label := why
		if w.value == nil {
			label = writeEnd
		}
		b.m.BanWrites.WithLabelValues(label).Inc()
	}
	b.m.BanEntries.Set(float64(b.table.held))
	return nil
}

// take takes records of the time before the start.
func (b *Bans) take(ctx context.Context, fetches kgo.Fetches) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.leave()
	b.read(fetches)
	return nil
}

// read takes records into the table and gives their keys. The lock is held.
func (b *Bans) read(fetches kgo.Fetches) []string {
	var keys []string
	fetches.EachRecord(func(r *kgo.Record) {
		key, ours := string(r.Key), false
		for _, h := range r.Headers {
			ours = ours || h.Key == headerWriter && string(h.Value) == b.writer
		}
		b.table.read(key, decodeBan(r), r.Offset, ours)
		keys = append(keys, key)
	})
	return keys
}

// fillBan makes r a record of v.
func fillBan(r *kgo.Record, v *banValue) {
	r.Value = schemas.AppendBan(nil, &v.ban)
	if !v.byHand {
		return
	}
	part := kgo.RecordHeader{Key: headerRules}
	if v.rules != nil {
		part.Value = schemas.AppendBan(nil, v.rules)
	}
	r.Headers = append(r.Headers, part)
}

// decodeBan gives the value of a record, nil for a tombstone. What cannot be read is
// a value that has ended: nobody can enforce it, and it goes away.
func decodeBan(r *kgo.Record) *banValue {
	if r.Value == nil {
		return nil
	}
	v := new(banValue)
	if err := schemas.DecodeBan(r.Value, &v.ban); err != nil || schemas.BanKey(v.ban.Scope, v.ban.Value) != string(r.Key) {
		scope, value, _ := strings.Cut(string(r.Key), ":")
		return &banValue{ban: schemas.Ban{Scope: schemas.Scope(scope), Value: value}}
	}
	for _, h := range r.Headers {
		if h.Key != headerRules {
			continue
		}
		v.byHand = true
		if part := new(schemas.Ban); len(h.Value) > 0 && schemas.DecodeBan(h.Value, part) == nil {
			v.rules = part
		}
	}
	return v
}

func (b *Bans) micros() int64 { return b.now().UnixMicro() }

// enterReady is enter, once Run has read the topic.
func (b *Bans) enterReady(ctx context.Context) error {
	select {
	case <-b.ready:
		return b.enter(ctx)
	case <-ctx.Done():
		return fmt.Errorf("waiting for topic %s to be read: %w", b.topic, ctx.Err())
	}
}

func (b *Bans) enter(ctx context.Context) error {
	select {
	case b.lock <- struct{}{}:
		b.goneMu.Lock()
		defer b.goneMu.Unlock()
		for _, p := range b.gone {
			b.table.forget(p)
		}
		b.gone = b.gone[:0]
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the ban table: %w", ctx.Err())
	}
}

func (b *Bans) leave() { <-b.lock }
