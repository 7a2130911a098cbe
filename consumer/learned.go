package consumer

import (
	"cmp"
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/sink"
)

// ReadLearned gives what the group had learned of endpoints when it was written to the topic
// state last, as far as the rules of deps look at it, by endpoint. Of deps the metrics are
// not used. It is in no group and writes nothing.
func ReadLearned(ctx context.Context, cfg Config, deps Deps) ([]detector.LearnedEndpoint, error) {
	log := deps.Log.Named("stats")
	cl, err := sink.Connect(ctx, cfg.Kafka, log, append(sink.StateReadOpts(), deps.Kafka...)...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	topic := cfg.Topics.EndpointStats
	about, err := kadm.NewClient(cl).ListTopics(ctx, topic, cfg.Topics.State)
	if err == nil {
		err = about.Error()
	}
	if err != nil {
		return nil, refusalOr("looking at topics "+topic+" and "+cfg.Topics.State, err)
	}
	numbers := about[topic].Partitions.Numbers()
	stored, err := sink.ReadState(ctx, cl, cfg.Topics.State, cfg.Kafka.Group, topic, numbers)
	if err != nil {
		return nil, err
	}
	var all []detector.LearnedEndpoint
	for _, n := range numbers {
		b := detector.NewBaselines(deps.Program, detector.BaselinesOptions{})
		restoreLearned(b, stored[n], log.With(zap.Int32("partition", n)))
		all = append(all, b.Learned()...)
	}
	slices.SortFunc(all, func(a, b detector.LearnedEndpoint) int {
		return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.View, b.View))
	})
	return all, nil
}
