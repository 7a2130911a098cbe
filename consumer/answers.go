package consumer

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// answers is when each broker last answered a fetch. A partition is silent only as far as
// its leader has answered since: else we cannot hear it. It is a hook of the client that
// reads, and may be used by several goroutines.
type answers struct {
	mu   sync.Mutex
	last map[int32]time.Time // by broker
}

var _ kgo.HookBrokerE2E = (*answers)(nil)

func newAnswers() *answers { return &answers{last: make(map[int32]time.Time)} }

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (a *answers) OnBrokerE2E(meta kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key != kmsg.Fetch.Int16() || e2e.Err() != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last[meta.NodeID] = time.Now()
}

// of gives when a broker last answered, the zero time where it never did.
func (a *answers) of(broker int32) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[broker]
}
