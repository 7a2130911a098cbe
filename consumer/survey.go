package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/sink"
)

// survey is what there is to verify. Detect may go on meanwhile: what it decides after
// the survey is not looked at. So the order matters in which it is made: what is
// committed before what that led to, and the journal last, which then knows the rules of
// every verdict that is looked at.
type survey struct {
	stored    map[int32]int64 // of the verdict topic: what store has committed
	committed map[int32]int64 // of the topic that is judged: what detect has
	verdicts  map[int32]span  // of the verdict topic
	reach     map[int32]int64 // of the topic logs: triggers from there on are not looked at
	logs      map[int32]gained
	states    map[int32]*sink.StoredState
	journaled bool // there is a state topic
}

// look makes the survey.
func (v *Verify) look(ctx context.Context, cl *kgo.Client) (*survey, error) {
	t, adm := v.cfg.Topics, kadm.NewClient(cl)
	s := new(survey)
	var err error
	if s.stored, err = groupOffsets(ctx, adm, storeGroup(v.cfg), t.Verdicts); err != nil {
		return nil, err
	}
	if s.committed, err = groupOffsets(ctx, adm, v.cfg.Kafka.Group, v.cfg.judged()); err != nil {
		return nil, err
	}
	if s.verdicts, err = topicSpans(ctx, adm, t.Verdicts); err != nil {
		return nil, err
	}
	s.reach = s.committed
	if v.cfg.Input.Rekey {
		if s.reach, err = groupOffsets(ctx, adm, rekeyGroup(v.cfg), t.Logs); err != nil {
			return nil, err
		}
	}
	if s.logs, err = v.lookAtLogs(ctx, adm, s.committed); err != nil {
		return nil, err
	}
	about, err := adm.ListTopics(ctx, t.State)
	if err == nil {
		err = about.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return s, nil
	}
	if err != nil {
		return nil, refusalOr("looking at topic "+t.State, err)
	}
	s.journaled = true
	reader, err := sink.Connect(ctx, v.cfg.Kafka, v.log, append(sink.StateReadOpts(), v.deps.Kafka...)...)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	s.states, err = sink.ReadState(ctx, reader, t.State, v.cfg.Kafka.Group, v.cfg.judged(), slices.Sorted(maps.Keys(s.logs)))
	return s, err
}

// lookAtLogs looks at the partitions of the topic that is judged.
func (v *Verify) lookAtLogs(ctx context.Context, adm *kadm.Client, committed map[int32]int64) (map[int32]gained, error) {
	topic := v.cfg.judged()
	spans, err := topicSpans(ctx, adm, topic)
	if err != nil {
		return nil, err
	}
	about, err := adm.ListTopics(ctx, topic)
	if err == nil {
		err = about.Error()
	}
	if err != nil {
		return nil, refusalOr("looking at topic "+topic, err)
	}
	logs := make(map[int32]gained)
	for n, s := range spans {
		at, ok := committed[n]
		if !ok {
			at = -1
		}
		logs[n] = gained{tp: topicPartition{topic, n}, committed: at, start: s.from, end: s.until, topicID: about[topic].ID}
	}
	return logs, nil
}

// topicSpans gives what a topic holds now, of committed transactions.
func topicSpans(ctx context.Context, adm *kadm.Client, topic string) (map[int32]span, error) {
	starts, err := listed(adm.ListStartOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	ends, err := listed(adm.ListCommittedOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	spans := make(map[int32]span)
	ends.Each(func(o kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, o.Partition)
		spans[o.Partition] = span{start.Offset, o.Offset}
	})
	return spans, nil
}

// groupOffsets gives what a group has committed of a topic; empty: nothing, or there
// is no such group.
func groupOffsets(ctx context.Context, adm *kadm.Client, group, topic string) (map[int32]int64, error) {
	offsets, err := adm.FetchOffsets(ctx, group)
	if err == nil {
		err = offsets.Error()
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, refusalOr(fmt.Sprintf("asking what group %s has committed", group), err)
	}
	at := make(map[int32]int64)
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic && o.At >= 0 {
			at[o.Partition] = o.At
		}
	})
	return at, nil
}
