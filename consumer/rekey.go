package consumer

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/sink"
)

// Rekey is the stage in front of detect where input.rekey is on. It reads the topic
// logs in a group of its own and writes each record to the topic events, keyed by its
// canonical subject, so that all events of a subject are in one partition. It keeps
// nothing in memory. A record and the offset behind it are written in one Kafka
// transaction, so whoever reads committed records sees each copy exactly once.
type Rekey struct {
	cfg  Config
	deps Deps
	log  *zap.Logger

	rules    rulesInForce
	assigned atomic.Bool
	most     int // records of a transaction; of the loop alone
}

// NewRekey checks its configuration; it starts nothing.
func NewRekey(cfg Config, deps Deps) (*Rekey, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Rekey{cfg: cfg, deps: deps, log: deps.Log.Named("rekey"), most: rekeyPoll}
	r.rules.Store(deps.Program)
	return r, nil
}

// Group is the consumer group of the stage.
func (r *Rekey) Group() string { return rekeyGroup(r.cfg) }

func rekeyGroup(c Config) string { return c.Kafka.Group + "-rekey" }

// Ready reports whether records are being keyed anew; if not, why. Safe for
// concurrent use.
func (r *Rekey) Ready() (bool, string) {
	if !r.assigned.Load() {
		return false, "rekey: waiting for the group to assign partitions"
	}
	return true, ""
}

// Run keys records anew until ctx is done; then it finishes the transaction at hand,
// leaves the group and returns nil. It waits for as long as Kafka is away. An error
// means that waiting would not help. A transaction that a stop cannot finish in time
// is aborted by the brokers: whoever takes over does its records again.
func (r *Rekey) Run(ctx context.Context) error {
	cl, err := sink.Connect(ctx, r.cfg.Kafka, r.log, r.deps.Kafka...)
	if err != nil {
		return unlessDone(ctx, err)
	}
	defer cl.Close()
	if err := sink.EnsureTopics(ctx, cl, r.cfg.Kafka, r.cfg.Topics, r.log, r.cfg.input()...); err != nil {
		return unlessDone(ctx, err)
	}
	lasting, cancel := outlasting(ctx, time.Duration(r.cfg.ShutdownTimeout)*4/5)
	defer cancel()
	return stopped(ctx, r.log, anew(ctx, r.log, func() error {
		defer r.assigned.Store(false)
		return newRekeying(r, lasting, kadm.NewClient(cl)).run(ctx)
	}))
}

// Sizes of batches, of which the topic events says how large it takes them.
const (
	defaultMessage = 1<<20 + 12 // as brokers have it; where we may not ask
	leastMessage   = 1 << 20    // a dead letter has to fit
)

// maxMessage is what the topic events takes in one batch.
func (r *Rekey) maxMessage(ctx context.Context, adm *kadm.Client) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	topic, most := r.cfg.Topics.Events, defaultMessage
	all, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return most, nil // a right we can do without
	}
	for _, c := range all {
		for _, kv := range c.Configs {
			if n, err := strconv.Atoi(kv.MaybeValue()); kv.Key == "max.message.bytes" && err == nil {
				most = n
			}
		}
	}
	switch wanted := int(r.cfg.Input.MaxRecordBytes) + leastMessage/16; {
	case most < leastMessage:
		return 0, &sink.PermanentError{
			Doing: "looking at topic " + topic, Err: fmt.Errorf("max.message.bytes is %d", most), Do: fmt.Sprintf("raise it to %d", wanted),
		}
	case most < wanted:
		r.log.Warn("the topic of events takes no records as large as input.max_record_bytes allows: those that do not fit are dead-lettered",
			zap.String("topic", topic), zap.Int("max.message.bytes", most), zap.Int("wanted", wanted))
		return most, nil
	default:
		return wanted, nil
	}
}

// startOffsets says where partitions begin that the group has no offset of yet. A
// transaction that is aborted is done again from the offset before it, so there must
// be one from the start.
func (r *Rekey) startOffsets(ctx context.Context, adm *kadm.Client, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	begin := kadm.ListedOffsets(nil)
	for topic, partitions := range offsets {
		for n, o := range partitions {
			if o.EpochOffset().Offset >= 0 {
				continue
			}
			if begin == nil {
				var err error
				if begin, err = r.listStarts(ctx, adm); err != nil {
					return nil, fmt.Errorf("looking where topic %s begins: %w", topic, err)
				}
			}
			listed, ok := begin.Lookup(topic, n)
			if !ok || listed.Err != nil {
				return nil, fmt.Errorf("looking where %s/%d begins: %w", topic, n, cmp.Or(listed.Err, error(kerr.UnknownTopicOrPartition)))
			}
			partitions[n] = kgo.NewOffset().At(listed.Offset)
		}
	}
	return offsets, nil
}

// listStarts lists where kafka.start is.
func (r *Rekey) listStarts(ctx context.Context, adm *kadm.Client) (kadm.ListedOffsets, error) {
	start, err := r.cfg.Kafka.StartOffset()
	if err != nil {
		return nil, err
	}
	switch at := start.EpochOffset().Offset; at {
	case kgo.NewOffset().AtStart().EpochOffset().Offset:
		return adm.ListStartOffsets(ctx, r.cfg.Topics.Logs)
	case kgo.NewOffset().AtEnd().EpochOffset().Offset:
		return adm.ListEndOffsets(ctx, r.cfg.Topics.Logs)
	default: // an instant, in ms
		return adm.ListOffsetsAfterMilli(ctx, at, r.cfg.Topics.Logs)
	}
}
