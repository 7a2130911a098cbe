package sink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
)

// headerWriter names the process that wrote a record of the ban topic.
const headerWriter = "apiwarden-writer"

// sweepEvery is how often bans are looked for that the clock has ended.
const sweepEvery = 500 * time.Millisecond

// BansOpts are the options, besides ProducerOpts, of a client that follows the ban
// topic: all of it from the start, in no group.
func BansOpts(topic string) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumeTopics(topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.FetchMaxBytes(8 << 20),
	}
}

// BanUpdate is a change that a partition of the input has led to.
type BanUpdate struct {
	Partition int32
	Change    schemas.BanChange
}

// Bans keeps the ban topic right. The topic has several writers (a partition's owner
// changes, a stalled one wakes up), so it follows the topic and merges: what belongs
// there for a subject is the stronger action, the later end and all rule ids of what
// our partitions enforce and of what somebody else wrote. It writes where the topic
// differs, and a tombstone only where what stands there has ended: by a decision, or
// by the clock, which is what ends bans of an idle partition and of former runs.
//
// All its state is behind one lock that is held until what was decided under it is
// acknowledged: so of two writes for a subject the later decision is the later record.
type Bans struct {
	cl     *kgo.Client
	topic  string
	writer string
	out    *Producer
	m      *Metrics
	log    *zap.Logger
	now    func() time.Time

	ready chan struct{} // closed once the topic has been read to its end
	lock  chan struct{} // holds one token while table is used
	table *banTable

	goneMu sync.Mutex
	gone   []int32 // partitions given up, to be told to table
}

// BansConfig is what NewBans needs. Client was made with ProducerOpts and BansOpts.
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
		cl: c.Client, topic: c.Topic, writer: rand.Text(), out: c.Producer, m: c.Metrics, log: c.Log, now: c.Now,
		ready: make(chan struct{}), lock: make(chan struct{}, 1), table: newBanTable(),
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
	select {
	case <-b.ready:
	case <-ctx.Done():
		return fmt.Errorf("waiting for topic %s to be read: %w", b.topic, ctx.Err())
	}
	if err := b.enter(ctx); err != nil {
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
	select {
	case <-b.ready:
	case <-ctx.Done():
		return fmt.Errorf("waiting for topic %s to be read: %w", b.topic, ctx.Err())
	}
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.leave()
	return b.settle(ctx, b.table.enforce(partition, bans), writeRepair)
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
	if err := b.catchUp(ctx); err != nil {
		return err
	}
	if err := b.settleAll(ctx); err != nil {
		return err
	}
	close(b.ready)
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
	anew, err := b.fetchErrors(fetches)
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
		b.cl.PurgeTopicsFromClient(b.topic)
		b.cl.AddConsumeTopics(b.topic)
		b.table.reset()
		if err := b.settle(ctx, b.table.keys(), writeRepair); err != nil {
			return err
		}
		return wait(ctx, time.Second)
	}
	keys := b.read(fetches)
	if err := b.settle(ctx, keys, writeRepair); err != nil {
		return err
	}
	return b.settle(ctx, b.table.ending(b.micros()), writeChange)
}

func (b *Bans) settleAll(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return unlessDone(ctx, err)
	}
	defer b.leave()
	return unlessDone(ctx, b.settle(ctx, b.table.keys(), writeRepair))
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
		if w.ban != nil {
			r.Value = schemas.AppendBan(nil, w.ban)
		}
		writes, recs = append(writes, w), append(recs, r)
	}
	if err := b.out.Send(ctx, recs); err != nil {
		return err
	}
	for i, w := range writes {
		b.table.wrote(w.key, w.ban, recs[i].Offset)
		label := why
		if w.ban == nil {
			label = writeEnd
		}
		b.m.BanWrites.WithLabelValues(label).Inc()
	}
	b.m.BanEntries.Set(float64(b.table.held))
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

// decodeBan gives the value of a record, nil for a tombstone. What cannot be read is
// a value that has ended: nobody can enforce it, and it goes away.
func decodeBan(r *kgo.Record) *schemas.Ban {
	if r.Value == nil {
		return nil
	}
	ban := new(schemas.Ban)
	if err := schemas.DecodeBan(r.Value, ban); err != nil || schemas.BanKey(ban.Scope, ban.Value) != string(r.Key) {
		scope, value, _ := strings.Cut(string(r.Key), ":")
		return &schemas.Ban{Scope: schemas.Scope(scope), Value: value}
	}
	return ban
}

// fetchErrors says whether the topic has to be read anew, or that we are refused.
func (b *Bans) fetchErrors(fetches kgo.Fetches) (anew bool, err error) {
	fetches.EachError(func(topic string, partition int32, ferr error) {
		if errors.Is(ferr, context.DeadlineExceeded) || errors.Is(ferr, context.Canceled) {
			return
		}
		if perm := Refusal("following topic "+b.topic, ferr); perm != nil {
			err = errors.Join(err, perm)
			return
		}
		if errors.Is(ferr, kgo.ErrClientClosed) {
			err = errors.Join(err, fmt.Errorf("following topic %s: %w", b.topic, ferr))
			return
		}
		anew = true
		b.log.Warn("the ban topic is read again from its start", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(ferr))
	})
	return anew, err
}

func (b *Bans) micros() int64 { return b.now().UnixMicro() }

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
