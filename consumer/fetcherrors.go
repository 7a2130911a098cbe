package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/sink"
)

// fetchErrors sorts the errors of a poll: those that pass are said and left to the
// client, which tries again; a batch too large to unpack is given back to be
// skipped; what needs a new session is errAnew; what waiting does not heal is permanent.
func (s *session) fetchErrors(fetches kgo.Fetches) ([]*kgo.ErrDecompressTooLarge, error) {
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
			s.deps.Metrics.DataLoss.Inc()
			s.log.Error("the brokers have lost records", zap.Error(err))
		case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, kerr.UnknownTopicID):
			fatal = errors.Join(fatal, fmt.Errorf("reading %s/%d: %w: %w", topic, partition, errAnew, err))
		default:
			if perm := sink.Refusal(fmt.Sprintf("reading %s/%d", topic, partition), err); perm != nil {
				fatal = errors.Join(fatal, perm)
				return
			}
			if s.failed.Due() {
				s.log.Warn("reading fails, trying again", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(err))
			}
		}
	})
	return skips, fatal
}
