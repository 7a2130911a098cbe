package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// topicSettings are what a topic needs that we create. An existing topic keeps
// whatever it has.
func topicSettings(t Topics) map[string]map[string]*string {
	compact := func(more ...string) map[string]*string {
		return settings(append(more, "cleanup.policy", "compact")...)
	}
	return map[string]map[string]*string{
		// A producer cannot vouch for its own clock.
		t.Logs:     settings("cleanup.policy", "delete", "message.timestamp.type", "LogAppendTime"),
		t.Verdicts: settings("cleanup.policy", "delete", "retention.ms", millis(7*24*time.Hour)),
		// The active segment is never compacted, and a gateway reads the topic from
		// its start: an hour of changes is the most it should read in vain.
		t.Bans: compact("segment.ms", millis(time.Hour)),
		t.DLQ:  settings("cleanup.policy", "delete"),
		// Everything is written anew each minute. The active segment is not compacted:
		// small segments, and an eager cleaner, keep the topic little more than that.
		t.State: compact("segment.bytes", "16777216", "segment.ms", millis(10*time.Minute),
			"min.cleanable.dirty.ratio", "0.1", "max.compaction.lag.ms", millis(10*time.Minute)),
		// The audit has a week to read what a newer change of the same subject replaces.
		t.Control: compact("min.compaction.lag.ms", millis(7*24*time.Hour), "message.timestamp.type", "LogAppendTime"),
		// How long a summary has waited for others is told by one clock.
		t.EndpointStats: settings("cleanup.policy", "delete", "retention.ms", millis(24*time.Hour), "message.timestamp.type", "LogAppendTime"),
		// A copy is a little larger than its record, whatever input.max_record_bytes is.
		t.Events: settings("cleanup.policy", "delete", "max.message.bytes", fmt.Sprint(65<<20)),
	}
}

func settings(pairs ...string) map[string]*string {
	m := make(map[string]*string, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &pairs[i+1]
	}
	return m
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// EnsureTopics makes every topic exist, with the settings it needs, where
// c.CreateTopics allows that; else it checks that those in need do. The topic of
// events keyed anew is made only where it is in need. It has as many partitions as
// the logs, and the state topic as many as detect's input, so that their numbers
// agree. Several processes may call it at once. A topic that exists is not touched,
// but a ban topic that is not compacted is warned about.
func EnsureTopics(ctx context.Context, cl *kgo.Client, c KafkaConfig, t Topics, log *zap.Logger, need ...string) error {
	adm := kadm.NewClient(cl)
	wanted := topicSettings(t)
	if !slices.Contains(need, t.Events) {
		delete(wanted, t.Events)
	}
	for n := 0; ; n++ {
		missing, err := ensureOnce(ctx, adm, c, t, wanted, log)
		missing = slices.DeleteFunc(missing, func(name string) bool { return !slices.Contains(need, name) })
		switch {
		case err == nil && len(missing) == 0:
			warnPolicy(ctx, adm, t.Bans, log)
			return nil
		case err == nil:
			return &PermanentError{
				Doing: "looking for topics",
				Err:   fmt.Errorf("%s missing", strings.Join(missing, ", ")),
				Do:    "create them, or set kafka.create_topics: true",
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case IsPermanent(err):
			return err
		}
		log.Warn("topics cannot be created yet, waiting", zap.Error(err))
		if err := wait(ctx, retryBackoff(n+3)); err != nil {
			return err
		}
	}
}

// ensureOnce gives the topics that are missing and may not be created.
func ensureOnce(ctx context.Context, adm *kadm.Client, c KafkaConfig, t Topics, wanted map[string]map[string]*string, log *zap.Logger) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	names := make([]string, 0, len(wanted))
	for name := range wanted {
		names = append(names, name)
	}
	slices.Sort(names)
	have, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, refusedOr("listing topics", err)
	}
	partitions := make(map[string]int32)
	var missing []string
	for _, name := range names {
		switch d := have[name]; {
		case d.Err == nil && len(d.Partitions) > 0:
			partitions[name] = int32(len(d.Partitions))
		case d.Err == nil, errors.Is(d.Err, kerr.UnknownTopicOrPartition):
			missing = append(missing, name)
		default:
			return nil, refusedOr("looking at topic "+name, d.Err)
		}
	}
	if !c.CreateTopics {
		return missing, nil
	}
	for _, name := range missing {
		count := c.Partitions
		switch logs, events := partitions[t.Logs], partitions[t.Events]; {
		case name == t.State && events > 0:
			count = events
		case (name == t.State || name == t.Events) && logs > 0:
			count = logs
		}
		r, err := adm.CreateTopic(ctx, count, c.Replication, wanted[name], name)
		if errors.Is(err, kerr.TopicAlreadyExists) {
			continue
		}
		if err != nil {
			return nil, createError(name, r, err)
		}
		log.Info("topic created", zap.String("topic", name), zap.Int32("partitions", count))
	}
	return nil, nil
}

// createError sorts out what time can heal (a cluster whose brokers are still
// arriving) from what it cannot.
func createError(name string, r kadm.CreateTopicResponse, err error) error {
	doing := "creating topic " + name
	if r.ErrMessage != "" {
		err = fmt.Errorf("%w: %s", err, r.ErrMessage)
	}
	switch {
	case errors.Is(err, kerr.InvalidConfig), errors.Is(err, kerr.PolicyViolation), errors.Is(err, kerr.InvalidTopicException),
		errors.Is(err, kerr.InvalidPartitions):
		return &PermanentError{Doing: doing, Err: err, Do: "create it by hand, or set kafka.create_topics: false where it exists"}
	}
	return refusedOr(doing, err)
}

func refusedOr(doing string, err error) error {
	if perm := Refusal(doing, err); perm != nil {
		return perm
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func warnPolicy(ctx context.Context, adm *kadm.Client, bans string, log *zap.Logger) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	all, err := adm.DescribeTopicConfigs(ctx, bans)
	if err != nil {
		return // a right we can do without
	}
	for _, r := range all {
		for _, kv := range r.Configs {
			if kv.Key == "cleanup.policy" && kv.Value != nil && *kv.Value != "compact" {
				log.Warn("the ban topic is not compacted: bans that are still active can vanish from it",
					zap.String("topic", bans), zap.String("cleanup.policy", *kv.Value))
			}
		}
	}
}
