package sink

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/apiwarden/apiwarden/schemas"
)

// ReadBans reads the ban topic from its start to its present end and gives what is
// active now, by scope and value. The caller closes cl, which may consume nothing else.
func ReadBans(ctx context.Context, cl *kgo.Client, topic string) ([]schemas.Ban, error) {
	live := make(map[string]*banValue)
	err := readTopic(ctx, cl, topic, func(r *kgo.Record) { live[string(r.Key)] = decodeBan(r) })
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixMicro()
	bans := make([]schemas.Ban, 0, len(live))
	for _, v := range live {
		if v != nil && !ended(&v.ban, now) {
			bans = append(bans, v.ban)
		}
	}
	slices.SortFunc(bans, func(a, b schemas.Ban) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Value, b.Value))
	})
	return bans, nil
}
