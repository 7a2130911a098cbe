package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/schemas"
	"github.com/apiwarden/apiwarden/sink"
)

const (
	// pollWait is how long a turn without records may take.
	pollWait = time.Second
	// closePatience is how long a client that has left its group may take to close.
	closePatience = time.Second
	// resetBack is how far back reading begins again where the log has been cut off.
	resetBack = time.Minute
	// maxBatch is what a batch of records may decompress to. One that goes beyond is
	// not read.
	maxBatch = 128 << 20
)

// member is one membership in a consumer group: of detect, of store or of rekey.
//
// Its loop polls, and from then on the group does not rebalance until the loop allows
// it: callbacks of the assignment never run beside the loop, so what both use needs no
// lock. The loop marks, while the group may not rebalance, the last record of what is
// finished; what is marked is committed each second, on revocation and at the end.
type member struct {
	cl      *kgo.Client
	group   string
	cfg     Config
	deps    Deps
	log     *zap.Logger
	lasting context.Context // outlives the request to stop, to finish and commit
	failed  sink.Seldom
	cut     context.CancelFunc // ends what cl is still asking for
	wake    alarm              // rung where the loop should not wait for records
}

// join becomes a member; callbacks are options that kgo.OnPartitions... give.
func (m *member) join(ctx context.Context, group string, topics []string, callbacks ...kgo.Opt) error {
	start, err := m.cfg.Kafka.StartOffset()
	if err != nil {
		return err
	}
	opts := slices.Concat(m.consuming(group, topics...), []kgo.Opt{
		kgo.ConsumeStartOffset(start),
		kgo.BlockRebalanceOnPoll(),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(time.Second),
		kgo.AutoCommitCallback(m.onCommit),
	}, callbacks)
	if m.cl, err = sink.Connect(ctx, m.cfg.Kafka, m.log, m.cuttable(ctx, opts)...); err != nil {
		m.cut()
		return err
	}
	if err = m.checkProtocol(ctx); err != nil {
		m.leave()
	}
	return err
}

// checkProtocol gives an error where the cluster cannot do what the configuration asks.
func (m *member) checkProtocol(ctx context.Context) error {
	err := m.cfg.Kafka.CheckGroupProtocol(ctx, m.cl)
	if err != nil && !sink.IsPermanent(err) {
		err = fmt.Errorf("%w: %w", errAnew, err)
	}
	return err
}

// consuming are the options with which every member of a group reads.
func (m *member) consuming(group string, topics ...string) []kgo.Opt {
	m.group = group
	return append(m.cfg.Kafka.GroupOpts(group),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.RewindOffset(resetBack)),
		kgo.SessionTimeout(time.Duration(m.cfg.Kafka.SessionTimeout)),
		// An event of an aborted transaction did not happen. The ends of transactions
		// take offsets, which the lag has to know.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		// A record larger than these is still delivered, alone.
		kgo.FetchMaxBytes(8<<20),
		kgo.FetchMaxPartitionBytes(2<<20),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.MaxConcurrentFetches(16),
		kgo.MaxDecompressBatchBytes(maxBatch),
	)
}

// cuttable completes the options of a client whose requests end when m.cut is called.
func (m *member) cuttable(ctx context.Context, opts []kgo.Opt) []kgo.Opt {
	asking, cut := context.WithCancel(context.WithoutCancel(ctx))
	m.cut = cut
	return append(append(opts, kgo.WithContext(asking)), m.deps.Kafka...)
}

// poll gives at most so many records, waiting for them no longer than d.
func (m *member) poll(ctx context.Context, most int, d time.Duration) kgo.Fetches {
	ctx, cancel := m.wake.arm(ctx, d)
	defer cancel()
	return m.cl.PollRecords(ctx, most)
}

// leave gives up what is owned, which commits what is marked, and leaves the group; a
// member with a name of its own stays in it, for as long as a restart may take. It has a fifth of the time for a stop, which finishing what was taken leaves to it.
func (m *member) leave() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.lasting), time.Duration(m.cfg.ShutdownTimeout)/6)
	defer cancel()
	m.cl.AllowRebalance()
	id, _ := m.cl.GroupMetadata()
	err := m.cl.LeaveGroupContext(ctx)
	if m.cfg.Kafka.InstanceID != "" && m.cfg.Kafka.GroupProtocol == sink.GroupConsumer && id != "" {
		err = m.pause(ctx, id)
	}
	if err != nil {
		m.log.Warn("leaving the group was not answered: its partitions are free when the session times out", zap.Error(err))
	}
	// A join that the group has not answered keeps Close waiting: the group answers
	// once a member that crashed has timed out, which may be long after our own end.
	defer m.cut()
	// The client (franz-go 1.22.2) polls once while it closes. Where it has left before,
	// that poll may come before what its second leaving waits for, for ever: a goroutine,
	// and all of the client with it, would stay.
	defer m.cl.AllowRebalance()
	defer time.AfterFunc(closePatience, m.cut).Stop()
	m.cl.Close()
}

// pause tells the group that a member with a name of its own will be back. The client
// (franz-go 1.22.2) leaves the name out where it says so with the protocol consumer,
// which the brokers refuse: the partitions would wait for the session to time out, and
// the restarted process with them.
func (m *member) pause(ctx context.Context, id string) error {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = m.group, id, -2
	name := m.cfg.Kafka.Instance(m.group)
	req.InstanceID = &name
	resp, err := req.RequestWith(ctx, m.cl)
	if err != nil {
		return err
	}
	err = kerr.ErrorForCode(resp.ErrorCode)
	if errors.Is(err, kerr.UnknownMemberID) {
		return nil // it is out of the group already
	}
	return err
}

// commitRevoked commits what is marked while partitions are being revoked, which
// does not wait for long.
func (m *member) commitRevoked(cl *kgo.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.lasting), min(10*time.Second, time.Duration(m.cfg.ShutdownTimeout)/10))
	defer cancel()
	m.commit(ctx, cl)
}

// commit commits what is marked and waits. A failure costs nothing but work done
// twice: what is not committed is read again.
func (m *member) commit(ctx context.Context, cl *kgo.Client) {
	var err error
	for range 5 {
		if err = cl.CommitMarkedOffsets(ctx); err == nil || ctx.Err() != nil || notOurs(err) {
			break
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if err != nil {
		m.log.Warn("offsets could not be committed, some records will be read again", zap.Error(err))
	}
}

// notOurs: the group has moved on without us.
func notOurs(err error) bool {
	return errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) ||
		errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.FencedInstanceID)
}

// commitError gives the first error of a commit's answer.
func commitError(resp *kmsg.OffsetCommitResponse, err error) error {
	if err != nil || resp == nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *member) onCommit(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
	if err = commitError(resp, err); err != nil && !errors.Is(err, context.Canceled) && m.failed.Due() {
		m.log.Warn("offsets cannot be committed, trying again", zap.Error(err))
	}
}

// errAnew asks for a new membership: the client at hand will not get further.
var errAnew = errors.New("the membership has to begin anew")

// fetchErrors sorts the errors of a poll: those that pass are said and left to the
// client, which tries again; a batch too large to unpack is given back to be
// skipped; what needs a new membership is errAnew; what waiting does not heal is permanent.
func (m *member) fetchErrors(fetches kgo.Fetches) ([]*kgo.ErrDecompressTooLarge, error) {
	var skips []*kgo.ErrDecompressTooLarge
	var fatal error
	fetches.EachError(func(topic string, partition int32, err error) {
		var loss *kgo.ErrDataLoss
		var large *kgo.ErrDecompressTooLarge
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		case errors.As(err, &large):
			skips = append(skips, large)
		case errors.As(err, &loss):
			m.deps.Metrics.DataLoss.Inc()
			m.log.Error("the brokers have lost records", zap.Error(err))
		case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, kerr.UnknownTopicID):
			fatal = errors.Join(fatal, fmt.Errorf("reading %s/%d: %w: %w", topic, partition, errAnew, err))
		default:
			if perm := sink.Refusal(fmt.Sprintf("reading %s/%d", topic, partition), err); perm != nil {
				fatal = errors.Join(fatal, perm)
				return
			}
			if m.failed.Due() {
				m.log.Warn("reading fails, trying again", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(err))
			}
		}
	})
	return skips, fatal
}

// tooLargeBatch is why the records of a batch cannot be used.
func tooLargeBatch(b *kgo.ErrDecompressTooLarge) *schemas.BadRecord {
	return &schemas.BadRecord{
		Reason: schemas.ReasonTooLarge,
		Detail: fmt.Sprintf("the batch of offsets %d to %d unpacks to more than %d bytes and was not read", b.Offset, b.NextOffset-1, maxBatch),
	}
}

// breathe keeps a broker that answers each fetch with an error from being asked
// without a pause.
func (m *member) breathe(fetches kgo.Fetches) {
	if err := fetches.Err0(); len(fetches) == 0 || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return
	}
	select {
	case <-time.After(100 * time.Millisecond):
	case <-m.lasting.Done():
	}
}

// skip goes on after batches that cannot be unpacked. Everything before them is
// finished. The client moves only partitions that it has a position of, which a mark
// gives it, and forgets to commit where it was moved to.
func (m *member) skip(skips []*kgo.ErrDecompressTooLarge) {
	if len(skips) == 0 {
		return
	}
	to := behind(skips)
	m.cl.MarkCommitOffsets(to)
	ctx, cancel := context.WithTimeout(m.lasting, 10*time.Second)
	defer cancel()
	m.commit(ctx, m.cl)
	m.cl.SetOffsets(to)
}

// behind gives where reading goes on after batches that are skipped.
func behind(skips []*kgo.ErrDecompressTooLarge) map[string]map[int32]kgo.EpochOffset {
	to := make(map[string]map[int32]kgo.EpochOffset)
	for _, b := range skips {
		if to[b.Topic] == nil {
			to[b.Topic] = make(map[int32]kgo.EpochOffset)
		}
		to[b.Topic][b.Partition] = kgo.EpochOffset{Epoch: b.Epoch, Offset: b.NextOffset}
	}
	return to
}
