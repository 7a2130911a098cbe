package sink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// StateOpts are the options of a client that writes the state topic: partitions are
// chosen by us, and what is written is packed already.
func StateOpts() []kgo.Opt {
	return append(ProducerOpts(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
}

const (
	// partBytes is what a record holds of a piece: with its header and key, no more
	// than a broker takes by default.
	partBytes = 900_000
	// leastPart is where we stop asking whether a topic takes smaller records.
	leastPart = 4 << 10
)

// StateWriter writes pieces to the state topic. It is safe for concurrent use.
type StateWriter struct {
	cl           *kgo.Client
	topic        string
	group, input string
	log          *zap.Logger
	say          Seldom

	mu     sync.Mutex
	packer *packer
	most   int // bytes of a piece in a record
}

// NewStateWriter writes to topic through cl, which was made with StateOpts, what
// group remembers of the topic input.
func NewStateWriter(cl *kgo.Client, topic, group, input string, log *zap.Logger) (*StateWriter, error) {
	p, err := newPacker()
	if err != nil {
		return nil, fmt.Errorf("setting up zstd: %w", err)
	}
	return &StateWriter{cl: cl, topic: topic, group: group, input: input, log: log, packer: p, most: partBytes}, nil
}

// WrittenPiece says where a piece stands.
type WrittenPiece struct {
	ID    uint64
	First int64 // the smallest offset of its parts
	Parts int
	Bytes int
}

// Write writes a piece over what stood in its slot, in that many parts, and returns
// once all in-sync replicas have all of it. It tries again for as long as ctx lasts;
// a PermanentError says that the cluster refuses us. After an error the slot may hold
// the piece, or nothing that can be used.
func (w *StateWriter) Write(ctx context.Context, partition int32, piece StatePiece, parts int) (WrittenPiece, error) {
	doing := fmt.Sprintf("writing to topic %s, partition %d", w.topic, partition)
	for n := 0; ; n++ {
		piece.ID = rand.Uint64()
		recs, size, err := w.records(partition, &piece, parts)
		if err != nil {
			return WrittenPiece{}, &PermanentError{Doing: doing, Err: err}
		}
		err = w.send(ctx, recs)
		if err == nil {
			out := WrittenPiece{ID: piece.ID, First: recs[0].Offset, Parts: len(recs), Bytes: size}
			for _, r := range recs {
				if r.Value == nil {
					out.Parts--
				}
			}
			return out, nil
		}
		if ctx.Err() != nil {
			return WrittenPiece{}, fmt.Errorf("%s: %w", doing, context.Cause(ctx))
		}
		smaller, err := w.mend(doing, err)
		if err != nil {
			return WrittenPiece{}, err
		}
		parts = max(parts, len(recs)) // the next try may have fewer
		if smaller {
			continue
		}
		if err := wait(ctx, retryBackoff(n)); err != nil {
			return WrittenPiece{}, fmt.Errorf("%s: %w", doing, err)
		}
	}
}

// send sends the parts of a piece. Where the topic wants small records it wants small
// batches too: then each of them goes alone.
func (w *StateWriter) send(ctx context.Context, recs []*kgo.Record) error {
	w.mu.Lock()
	together := w.most == partBytes
	w.mu.Unlock()
	each := len(recs)
	if !together {
		each = 1
	}
	for some := range slices.Chunk(recs, each) {
		errs, err := produceOnce(ctx, w.cl, some)
		if err != nil {
			return err
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// mend does what makes another try worth while, at once where it reports true, or
// gives an error where none is.
func (w *StateWriter) mend(doing string, err error) (bool, error) {
	switch {
	case errors.Is(err, kgo.ErrClientClosed):
		return false, fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.most /= 2; w.most >= leastPart {
			return true, nil
		}
		return false, &PermanentError{Doing: doing, Err: err, Do: "raise max.message.bytes of the topic"}
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition): // deleted, and perhaps created anew
		w.cl.PurgeTopicsFromProducing(w.topic)
	default:
		if perm := Refusal(doing, err); perm != nil {
			return false, perm
		}
		w.cl.ForceMetadataRefresh() // the topic may have been given more partitions
	}
	if w.say.Due() {
		w.log.Warn("state cannot be written, trying again", zap.String("topic", w.topic), zap.Error(err))
	}
	return false, nil
}

// records gives the parts of a piece, and tombstones for those of its predecessor's
// that it does not write over.
func (w *StateWriter) records(partition int32, piece *StatePiece, parts int) (recs []*kgo.Record, size int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	values, err := w.packer.parts(piece, w.most)
	if err != nil {
		return nil, 0, err
	}
	owner := pieceOwner(w.group, w.input, partition)
	for i := range max(len(values), parts) {
		r := &kgo.Record{Topic: w.topic, Partition: partition, Key: pieceKey(owner, piece.StateSlot, i)}
		if i < len(values) {
			r.Value = values[i]
		}
		size += len(r.Key) + len(r.Value)
		recs = append(recs, r)
	}
	return recs, size, nil
}

// EnsureStatePartitions gives the state topic as many partitions as the input has,
// where c.CreateTopics allows that. Several processes may call it at once.
func EnsureStatePartitions(ctx context.Context, cl *kgo.Client, c KafkaConfig, topic string, partitions int) error {
	adm := kadm.NewClient(cl)
	have, err := adm.ListTopics(ctx, topic)
	if err == nil {
		err = have.Error()
	}
	if err != nil {
		return refusedOr("looking at topic "+topic, err)
	}
	if len(have[topic].Partitions) >= partitions {
		return nil
	}
	doing := fmt.Sprintf("giving topic %s %d partitions", topic, partitions)
	if !c.CreateTopics {
		return &PermanentError{
			Doing: doing, Err: fmt.Errorf("it has %d, less than the topic that is judged", len(have[topic].Partitions)),
			Do: "add partitions to it, or set kafka.create_topics: true",
		}
	}
	if _, err := adm.UpdatePartitions(ctx, partitions, topic); err != nil && !errors.Is(err, kerr.InvalidPartitions) {
		return refusedOr(doing, err)
	}
	cl.ForceMetadataRefresh()
	return nil
}
