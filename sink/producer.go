package sink

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// ProducerOpts are the options of a client that writes verdicts, bans and dead
// letters: nothing is lost (acks of all in-sync replicas, idempotent, tried for
// ever) and nothing waits for company.
func ProducerOpts() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(maxBatchBytes),
	}
}

// maxBatchBytes is what a broker takes by default, with its overhead left out.
const maxBatchBytes = 1_000_000

// Producer sends records to Kafka and waits for them. It is safe for concurrent
// use, but records that depend on each other's order belong into one Send at a time.
type Producer struct {
	cl  *kgo.Client
	m   *Metrics
	log *zap.Logger
	say Seldom
}

// NewProducer writes through cl, which was made with ProducerOpts.
func NewProducer(cl *kgo.Client, m *Metrics, log *zap.Logger) *Producer {
	return &Producer{cl: cl, m: m, log: log}
}

// Send returns nil when all in-sync replicas have every record; their Offset and
// Partition are set then. A record that fails is sent again, with backoff, for as
// long as ctx lasts: so a record can be there twice, and after an error any of them
// may be there. A record that its topic finds too large is cut and says so in its
// headers (see cutRecord). A PermanentError says that the cluster refuses us.
func (p *Producer) Send(ctx context.Context, recs []*kgo.Record) error {
	if len(recs) == 0 {
		return nil
	}
	start := time.Now()
	for n := 0; ; n++ {
		errs, err := produceOnce(ctx, p.cl, recs)
		if err != nil {
			return fmt.Errorf("waiting for %d records to be acknowledged: %w", len(recs), err)
		}
		again, gone, pause := recs[:0:0], make(map[string]bool), false
		for i, r := range recs {
			if errs[i] == nil {
				continue
			}
			mended, err := p.mend(r, errs[i])
			if err != nil {
				return err
			}
			pause = pause || !mended
			again = append(again, r)
			gone[r.Topic] = gone[r.Topic] || errors.Is(errs[i], kerr.UnknownTopicID) || errors.Is(errs[i], kerr.UnknownTopicOrPartition)
		}
		for topic, yes := range gone {
			if yes { // deleted, and perhaps created anew: the client holds on to the old one
				p.cl.PurgeTopicsFromProducing(topic)
			}
		}
		if len(again) == 0 {
			p.m.Acknowledged.Observe(time.Since(start).Seconds())
			return nil
		}
		p.m.Retries.WithLabelValues("kafka").Add(float64(len(again)))
		recs = again
		if !pause {
			continue
		}
		if err := wait(ctx, retryBackoff(n)); err != nil {
			return fmt.Errorf("sending %d records again: %w", len(again), err)
		}
	}
}

// produceOnce sends each record one time and gives their errors, by index; the second
// result is that of ctx, which does not wait for a broker that says nothing.
func produceOnce(ctx context.Context, cl *kgo.Client, recs []*kgo.Record) ([]error, error) {
	errs := make([]error, len(recs))
	done := make(chan struct{})
	var left atomic.Int64
	left.Store(int64(len(recs)))
	for i, r := range recs {
		cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			errs[i] = err
			if left.Add(-1) == 0 {
				close(done)
			}
		})
	}
	select {
	case <-done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return errs, nil
}

// mend does what makes another try of r worth while, at once where it reports true,
// or gives an error where none is.
func (p *Producer) mend(r *kgo.Record, err error) (bool, error) {
	doing := "writing to topic " + r.Topic
	switch {
	case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false, fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		if !cutRecord(r, len(r.Value)/2) {
			return false, &PermanentError{Doing: doing, Err: err, Do: "raise max.message.bytes of the topic"}
		}
		return true, nil
	}
	if perm := Refusal(doing, err); perm != nil {
		return false, perm
	}
	if p.say.Due() {
		p.log.Warn("records are not taken, sending them again", zap.String("topic", r.Topic), zap.Error(err))
	}
	return false, nil
}
