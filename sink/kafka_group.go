package sink

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Protocols of KafkaConfig.GroupProtocol.
const (
	GroupClassic  = "classic"
	GroupConsumer = "consumer"
)

// Kafka takes what a topic's name may hold, up to 249 of it; the role comes after it.
var instanceID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)

// GroupOpts are the options of a member of group, which is c.Group or that followed by
// the name of a role (-store and so on): how partitions are shared out, and the
// member's own name where it has one. A member with a name does not leave the group
// when its client closes.
func (c KafkaConfig) GroupOpts(group string) []kgo.Opt {
	opts := []kgo.Opt{kgo.ConsumerGroup(group)}
	if c.GroupProtocol == GroupConsumer {
		// The brokers share partitions out; the balancer says by which of their ways.
		opts = append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	} else {
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	}
	if c.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.Instance(group)))
	}
	return opts
}

// Instance is the name of this process in a group: that of the configuration and that
// of the role.
func (c KafkaConfig) Instance(group string) string {
	return c.InstanceID + strings.TrimPrefix(group, c.Group)
}

// CheckGroupProtocol gives a PermanentError where the cluster does not know the
// protocol: the client would silently use the classic one, with a balancer that takes
// all partitions away at each change.
func (c KafkaConfig) CheckGroupProtocol(ctx context.Context, cl *kgo.Client) error {
	if c.GroupProtocol != GroupConsumer {
		return nil
	}
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("asking the cluster for its versions: %w", err)
	}
	const heartbeat = 68 // ConsumerGroupHeartbeat, of which version 1 came with Kafka 4.0
	for _, k := range resp.ApiKeys {
		if k.ApiKey == heartbeat && k.MaxVersion >= 1 {
			return nil
		}
	}
	return &PermanentError{
		Doing: "joining group " + c.Group, Err: fmt.Errorf("the cluster does not know the group protocol %s", GroupConsumer),
		Do: "it needs Kafka 4.0 or later: upgrade, or set kafka.group_protocol: classic",
	}
}
