package consumer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/sink"
)

const (
	// rekeyPoll bounds the records of one transaction, whose end costs as much for a
	// few as for many. Where one fails, perhaps because brokers are too
	// slow to take so many within transactionTimeout, the next ones are smaller.
	rekeyPoll      = 1 << 16
	leastRekeyPoll = 1 << 10
)

// rekeying is the stage's membership in its group. Each turn of its loop takes the
// records of one poll into one transaction: their copies and the offsets behind them.
//
// Unlike the other members it does not keep the group from rebalancing. Callbacks run
// beside the loop, and a transaction in which partitions were taken away is aborted:
// the session of the client sees to that.
type rekeying struct {
	member
	stage     *Rekey
	adm       *kadm.Client
	session   *kgo.GroupTransactSession
	copier    *copier
	rules     *detector.Program // of copier
	mostBytes int               // of a batch of the topic events
	copies    []*kgo.Record     // of the poll at hand

	mu        sync.Mutex
	lags      map[topicPartition]*lag
	disturbed atomic.Bool // the group has rebalanced since the last transaction
}

func newRekeying(r *Rekey, lasting context.Context, adm *kadm.Client) *rekeying {
	return &rekeying{
		member: member{cfg: r.cfg, deps: r.deps, log: r.log, lasting: lasting},
		stage:  r, adm: adm, lags: make(map[topicPartition]*lag),
	}
}

// transactionTimeout is after how long the brokers abort what a process that is gone
// has begun. Until then nobody reads what comes after it in those partitions. It is
// less than the time for which the group waits for the process itself.
func (s *rekeying) transactionTimeout() time.Duration {
	return time.Duration(s.cfg.Kafka.SessionTimeout) / 2
}

// run is the loop; see session.run.
func (s *rekeying) run(ctx context.Context) error {
	most, err := s.stage.maxMessage(ctx, s.adm)
	if err != nil {
		return err
	}
	s.mostBytes = most
	if err := s.adopt(); err != nil {
		return err
	}
	opts := slices.Concat(s.consuming(s.stage.Group(), s.cfg.Topics.Logs), sink.ProducerOpts(), []kgo.Opt{
		kgo.ProducerBatchMaxBytes(int32(most)),
		kgo.TransactionalID(transactionalID(s.stage.Group())),
		kgo.TransactionTimeout(s.transactionTimeout()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), // stands for "none yet": see startOffsets
		kgo.AdjustFetchOffsetsFn(func(ctx context.Context, o map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			return s.stage.startOffsets(ctx, s.adm, o)
		}),
		kgo.OnPartitionsAssigned(s.onAssigned), kgo.OnPartitionsRevoked(s.onRevoked), kgo.OnPartitionsLost(s.onLost),
	})
	if s.session, err = sink.ConnectSession(ctx, s.cfg.Kafka, s.log, s.cuttable(ctx, opts)...); err != nil {
		s.cut()
		return unlessDone(ctx, err)
	}
	s.cl = s.session.Client()
	defer s.forget()
	defer s.leave()
	if err := s.checkProtocol(ctx); err != nil {
		return unlessDone(ctx, err)
	}
	for ctx.Err() == nil {
		if err := s.turn(s.poll(ctx, s.stage.most, pollWait)); err != nil {
			s.stage.most = max(leastRekeyPoll, s.stage.most/2)
			return err
		}
		s.stage.most = min(rekeyPoll, s.stage.most+s.stage.most/16)
	}
	return nil
}

// transactionalID is another one for each membership: what one that is gone has left
// behind ends by its timeout, and its offsets are not read before that.
func transactionalID(group string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%s-%d-%s", group, host, os.Getpid(), rand.Text())
}

// adopt takes other rules over where somebody has given the stage some.
func (s *rekeying) adopt() error {
	p := s.stage.rules.Load()
	if p == s.rules {
		return nil
	}
	c, err := newCopier(s.cfg, p, s.mostBytes)
	if err != nil {
		return err
	}
	s.copier, s.rules = c, p
	return nil
}

// turn takes one poll's records all the way.
func (s *rekeying) turn(fetches kgo.Fetches) error {
	if err := s.adopt(); err != nil {
		return err
	}
	skips, err := s.fetchErrors(fetches)
	if err != nil {
		return err
	}
	s.copies = s.copies[:0]
	last := s.take(fetches)
	if len(last) > 0 {
		done, err := s.transact()
		if err != nil {
			return err
		}
		if !done {
			s.deps.Metrics.RekeyAborts.Inc()
			return nil // the client stands where it stood before the poll
		}
		s.finish(last, fetches.NumRecords())
	}
	if len(skips) > 0 {
		return s.skipBatches(skips)
	}
	if len(last) == 0 {
		s.breathe(fetches)
	}
	return nil
}

// take makes the copies of records, and gives each partition's last one.
func (s *rekeying) take(fetches kgo.Fetches) map[topicPartition]*kgo.Record {
	last := make(map[topicPartition]*kgo.Record)
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) == 0 {
			return
		}
		tp := topicPartition{f.Topic, f.Partition}
		if l := s.lag(tp); l != nil && last[tp] == nil {
			l.polled(f.HighWatermark, f.Records[0])
		}
		for _, r := range f.Records {
			if !r.Attrs.IsControl() {
				s.copies = s.copier.appendCopies(s.copies, r)
			}
		}
		last[tp] = f.Records[len(f.Records)-1]
	})
	return last
}

// transact writes the copies at hand and the offsets of what was polled, both or
// neither: false is neither, because the group has rebalanced. After an error the
// outcome may be unknown to the client, but not to the group: the next membership
// asks it how far its offsets are.
func (s *rekeying) transact() (bool, error) {
	const doing = "keying records anew"
	if err := s.session.Begin(); err != nil {
		return false, unhealable(doing, err)
	}
	produced := s.produce()
	if s.lasting.Err() != nil {
		return false, fmt.Errorf("%s: %w", doing, context.Cause(s.lasting))
	}
	committed, err := s.session.End(s.lasting, produced == nil)
	switch {
	case s.lasting.Err() != nil && !committed:
		return false, fmt.Errorf("%s: %w", doing, context.Cause(s.lasting))
	case produced != nil || err != nil:
		return false, unhealable(doing, errors.Join(produced, err))
	case !committed && !s.disturbed.Swap(false):
		return false, unhealable(doing, errors.New("a transaction was not committed, and no rebalance is the reason"))
	}
	s.disturbed.Store(false)
	return committed, nil
}

// unhealable gives the error of a client that cannot be used any longer: permanent
// where the cluster refuses us, else errAnew.
func unhealable(doing string, err error) error {
	if perm := sink.Refusal(doing, err); perm != nil {
		return perm
	}
	return fmt.Errorf("%s: %w: %w", doing, errAnew, err)
}

// produce returns nil once all copies are acknowledged, or the first error once all
// are answered. It does not wait longer than lasting does.
func (s *rekeying) produce() error {
	if len(s.copies) == 0 {
		return nil
	}
	var first error
	var once sync.Once
	var left atomic.Int64
	left.Store(int64(len(s.copies)))
	done := make(chan struct{})
	for _, r := range s.copies {
		s.session.Produce(s.lasting, r, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { first = err })
			}
			if left.Add(-1) == 0 {
				close(done)
			}
		})
	}
	select {
	case <-done:
		return first
	case <-s.lasting.Done():
		return context.Cause(s.lasting)
	}
}

// finish counts what is committed.
func (s *rekeying) finish(last map[topicPartition]*kgo.Record, records int) {
	for tp, r := range last {
		if l := s.lag(tp); l != nil {
			l.finished(r)
		}
	}
	s.deps.Metrics.Rekeyed.Add(float64(records))
	s.deps.Metrics.RekeyCopies.Add(float64(len(s.copies)))
	clear(s.copies)
}

// skipBatches has batches dead-lettered that cannot be unpacked and goes on behind
// them. A crash between the two has them dead-lettered twice.
func (s *rekeying) skipBatches(skips []*kgo.ErrDecompressTooLarge) error {
	s.copies = s.copies[:0]
	to := make(map[string]map[int32]kgo.EpochOffset)
	for _, b := range skips {
		s.copies = append(s.copies, s.copier.letter(&kgo.Record{Topic: b.Topic, Partition: b.Partition, Offset: b.Offset}, tooLargeBatch(b)))
		if to[b.Topic] == nil {
			to[b.Topic] = make(map[int32]kgo.EpochOffset)
		}
		to[b.Topic][b.Partition] = kgo.EpochOffset{Epoch: b.Epoch, Offset: b.NextOffset}
	}
	if done, err := s.transact(); err != nil || !done {
		return err
	}
	ctx, cancel := context.WithTimeout(s.lasting, 10*time.Second)
	defer cancel()
	var refused error
	s.cl.CommitOffsetsSync(ctx, to, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		refused = commitError(resp, err)
	})
	if refused != nil {
		return unhealable("going on behind a batch that cannot be unpacked", refused)
	}
	s.cl.SetOffsets(to)
	return nil
}

func (s *rekeying) lag(tp topicPartition) *lag {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lags[tp]
}

func (s *rekeying) onAssigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	s.disturbed.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, partitions := range added {
		for _, n := range partitions {
			if tp := (topicPartition{topic, n}); s.lags[tp] == nil {
				s.lags[tp] = s.deps.Metrics.RekeyLag.add(tp)
			}
		}
		if len(partitions) > 0 {
			s.log.Info("partitions assigned", zap.String("topic", topic), zap.Int32s("partitions", partitions))
		}
	}
	s.stage.assigned.Store(true)
}

func (s *rekeying) onRevoked(_ context.Context, _ *kgo.Client, gone map[string][]int32) { s.drop(gone) }

func (s *rekeying) onLost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.drop(gone)
	s.stage.assigned.Store(false)
}

func (s *rekeying) drop(gone map[string][]int32) {
	s.disturbed.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, partitions := range gone {
		for _, n := range partitions {
			tp := topicPartition{topic, n}
			delete(s.lags, tp)
			s.deps.Metrics.RekeyLag.remove(tp)
		}
	}
}

// forget takes what is left of the lag out of the metrics; the client is closed.
func (s *rekeying) forget() {
	for tp := range s.lags {
		s.deps.Metrics.RekeyLag.remove(tp)
	}
}
