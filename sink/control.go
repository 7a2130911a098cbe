package sink

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
)

// ControlRecord is a record of the control topic.
type ControlRecord struct {
	schemas.Control
	Position   schemas.Position
	RecordTime schemas.Micros // the record's timestamp
}

// Key is the key of the subject's records, on the control topic and the ban topic.
func (r *ControlRecord) Key() string { return schemas.BanKey(r.Scope, r.Value) }

// NewControlRecord is the record of the control topic for c.
func NewControlRecord(topic string, c *schemas.Control) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(schemas.BanKey(c.Scope, c.Value)), Value: schemas.AppendControl(nil, c)}
}

// DecodeControl reads a record of the control topic. A record without a value, by
// which somebody has removed the subject from the topic, ends what people have said
// of it: an unexempt, by nobody.
func DecodeControl(r *kgo.Record) (ControlRecord, error) {
	out := ControlRecord{
		Position:   schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset},
		RecordTime: schemas.Micros(r.Timestamp.UnixMicro()),
	}
	value := r.Value
	if value == nil {
		value = schemas.AppendControl(nil, &schemas.Control{Op: schemas.OpUnexempt, At: out.RecordTime})
	}
	var err error
	out.Control, err = schemas.DecodeControl(r.Key, value)
	return out, err
}

// controlState is the newest record of each subject, by key.
type controlState map[string]ControlRecord

// take keeps r where it is newer than what is known of its subject: further on in the
// same partition. In another partition, where a key lies once partitions were added,
// or where a key was not written in its canonical form, the later time wins.
func (s controlState) take(r ControlRecord) bool {
	have, known := s[r.Key()]
	switch {
	case !known:
	case have.Position.Partition == r.Position.Partition && have.Position.Offset >= r.Position.Offset:
		return false
	case have.Position.Partition != r.Position.Partition && have.At > r.At:
		return false
	}
	s[r.Key()] = r
	return true
}

// records gives the records in the topic's order.
func (s controlState) records() []ControlRecord {
	return slices.SortedFunc(maps.Values(s), func(a, b ControlRecord) int {
		return cmp.Or(cmp.Compare(a.Position.Partition, b.Position.Partition), cmp.Compare(a.Position.Offset, b.Position.Offset))
	})
}

// Controls follows the control topic: what people have banned, unbanned and exempt.
type Controls struct {
	followed
	m       *Metrics
	changed func(context.Context, []ControlRecord) error

	ready chan struct{} // closed once the topic has been read to its end and changed has returned
	mu    sync.Mutex    // of state
	state controlState
	say   Seldom
}

// ControlsConfig is what NewControls needs. Client was made with FollowOpts.
type ControlsConfig struct {
	Client  *kgo.Client
	Topic   string
	Metrics *Metrics
	Log     *zap.Logger
	// Changed is called by Run's goroutine: first with the newest record of each subject
	// as of the start (there may be none), then with each record that is new. Records of
	// one partition come in its order. Its error ends Run.
	Changed func(context.Context, []ControlRecord) error
}

// NewControls starts nothing; see Run.
func NewControls(c ControlsConfig) *Controls {
	return &Controls{
		followed: followed{cl: c.Client, topic: c.Topic, log: c.Log}, m: c.Metrics, changed: c.Changed,
		ready: make(chan struct{}), state: make(controlState),
	}
}

// Ready reports whether the topic has been read to where it ended at the start, and
// everything of it was handed on. Safe for concurrent use.
func (c *Controls) Ready() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// State gives the newest record of each subject, in the topic's order. Safe for
// concurrent use; complete once Ready.
func (c *Controls) State() []ControlRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.records()
}

// Run follows the topic until ctx is done (nil), the cluster refuses us, or Changed
// fails. What is known stays known where the topic vanishes: a person's word is not
// forgotten by accident.
func (c *Controls) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := c.start(ctx); err != nil {
			return unlessDone(ctx, err)
		}
		if err := c.follow(ctx); err != nil {
			return unlessDone(ctx, err)
		}
	}
	return nil
}

// start reads the topic to its end and hands on what is newer than what is known.
func (c *Controls) start(ctx context.Context) error {
	found := make(controlState)
	err := c.catchUp(ctx, func(_ context.Context, fetches kgo.Fetches) error {
		for _, r := range c.decode(fetches) {
			found.take(r)
		}
		return nil
	})
	if err != nil || ctx.Err() != nil {
		return err
	}
	var fresh []ControlRecord
	for _, r := range found.records() {
		if have, known := c.known(r.Key()); !known || have != r {
			fresh = append(fresh, r)
		}
	}
	if err := c.handOn(ctx, fresh, true); err != nil {
		return err
	}
	if !c.Ready() {
		close(c.ready)
	}
	return nil
}

// follow hands on what comes, until the topic has to be read anew.
func (c *Controls) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		fetches := c.cl.PollFetches(ctx)
		anew, err := c.errors(fetches)
		if err != nil {
			return err
		}
		if records := c.decode(fetches); len(records) > 0 {
			if err := c.handOn(ctx, records, false); err != nil {
				return err
			}
		}
		if anew {
			c.anew()
			return wait(ctx, time.Second)
		}
	}
	return nil
}

func (c *Controls) known(key string) (ControlRecord, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.state[key]
	return r, ok
}

// handOn hands on records; after a start they count whatever their offset, for the
// topic may be another.
func (c *Controls) handOn(ctx context.Context, records []ControlRecord, start bool) error {
	c.mu.Lock()
	newer := records[:0:0]
	for _, r := range records {
		if start {
			c.state[r.Key()] = r
		} else if !c.state.take(r) {
			continue
		}
		newer = append(newer, r)
	}
	c.mu.Unlock()
	if len(newer) == 0 && !start {
		return nil
	}
	return c.changed(ctx, newer)
}

// decode gives the records that can be read; the others are counted and said.
func (c *Controls) decode(fetches kgo.Fetches) []ControlRecord {
	var out []ControlRecord
	fetches.EachRecord(func(r *kgo.Record) {
		record, err := DecodeControl(r)
		if err != nil {
			c.m.ControlRecords.WithLabelValues(controlUnreadable).Inc()
			if c.say.Due() {
				c.log.Error("a record of the control topic cannot be read: it changes nothing", zap.String("topic", r.Topic), zap.Int32("partition", r.Partition),
					zap.Int64("offset", r.Offset), zap.ByteString("key", r.Key[:min(len(r.Key), 64)]), zap.Error(err))
			}
			return
		}
		c.m.ControlRecords.WithLabelValues(controlTaken).Inc()
		out = append(out, record)
	})
	return out
}

// ReadControls reads the control topic from its start to its present end and gives the
// newest record of each subject, in the topic's order; records that cannot be read are
// left out. The caller closes cl, which may consume nothing else.
func ReadControls(ctx context.Context, cl *kgo.Client, topic string) ([]ControlRecord, error) {
	state := make(controlState)
	err := readTopic(ctx, cl, topic, func(r *kgo.Record) {
		if record, err := DecodeControl(r); err == nil {
			state.take(record)
		}
	})
	return state.records(), err
}
