package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// faultRules are rules of every type, and one that is learned, which finds nothing: what
// it is given is compared. Their windows and bans are long against the
// time of a test and short against that of the history that it feeds, so that what was
// counted before a fault decides verdicts after it.
const faultRules = `version: 1
lateness: 30s
escalation: {factor: 2, max: 6h, decay: 12h}
rules:
  - {id: day, type: usage, threshold: 40, window: 24h, action: alert, emit: every}
  - {id: burst, type: usage, threshold: 6, window: 10m, window_edge: half_open, action: ban, ban_for: 20m}
  - {id: endpoints, type: usage, group_by: [subject, endpoint], threshold: 9, window: 24h, action: throttle, throttle_for: 1h}
  - {id: often, type: frequency, max_frequency: 0.02, window: 5m, action: log}
  - {id: paths, type: distinct, field: path, threshold: 15, window: 6h, action: ban, ban_for: 30m, max_bans_per_minute: 1}
  - {id: errors, type: ratio, pattern: "status:>=400", min_volume: 8, threshold: 0.4, window: 12h, action: alert}
  - {id: steps, type: walk, threshold: 8, window: 12h, max_step: 5, action: alert}
  - {id: admin, type: match, when: 'path startsWith "/admin"', window: 2h, action: log}
  - {id: wins, type: return_pattern, pattern: win, threshold: 3, window: 24h, action: ban, ban_for: 15m, reset_on_ban: true}
  - {id: levels, type: return_pattern, pattern: "json:level>90", threshold: 2, window: 8h, action: alert, emit: every}
  - {id: logins, type: return_pattern, endpoint: POST /login, pattern: "status:401,403", threshold: 5, window: 24h, action: ban, ban_for: 10m}
  - {id: slow, type: latency, action: log}
`

// history is a log of many hours that is fed within seconds.
type history struct {
	rnd      *rand.Rand
	subjects int           // that come again; others are seen once
	once     float64       // share of events of subjects that are seen once
	from     time.Time     // of the first event
	step     time.Duration // between two events
	n        int           // events so far
	burst    int           // events that the subject at hand has still to send
	who      string
}

// newHistory ends now with its last of n events, so that no event is ahead of its record.
func newHistory(seed uint64, n int, span time.Duration) *history {
	return &history{
		rnd: rand.New(rand.NewPCG(seed, 7)), subjects: 240,
		from: time.Now().Add(-span - time.Minute), step: span / time.Duration(n),
	}
}

// record is the next record of the history. One in two hundred cannot be used.
func (h *history) record() *kgo.Record {
	if h.burst == 0 {
		h.who, h.burst = h.subject(), 1
		if h.rnd.IntN(100) == 0 {
			h.burst = 4 + h.rnd.IntN(10)
		}
	}
	h.burst--
	at := h.from.Add(time.Duration(h.n) * h.step)
	h.n++
	switch h.rnd.IntN(40) {
	case 0: // too late to count
		at = at.Add(-time.Duration(31+h.rnd.IntN(100)) * time.Second)
	case 1, 2, 3, 4:
		at = at.Add(-time.Duration(h.rnd.IntN(30000)) * time.Millisecond)
	}
	if h.rnd.IntN(200) == 0 {
		return &kgo.Record{Key: []byte(h.who), Value: fmt.Appendf(nil, "no JSON %d", h.n)}
	}
	method, path, status := "GET", fmt.Sprintf("/items/%d", h.rnd.IntN(400)), 200
	switch h.rnd.IntN(12) {
	case 0:
		method, path, status = "POST", "/login", []int{200, 401, 401, 403}[h.rnd.IntN(4)]
	case 1:
		path = "/admin/users"
	case 2, 3:
		status = []int{404, 500, 429}[h.rnd.IntN(3)]
	}
	return &kgo.Record{Key: []byte(h.who), Value: fmt.Appendf(nil,
		`{"timestamp":%d,"client_ip":%q,"method":%q,"path":%q,"status":%d,"latency_ms":%d,"response_body":"{\"level\":%d,\"result\":\"%s\"}"}`,
		at.UnixMicro(), h.who, method, path, status, 20+h.n%20, h.rnd.IntN(100), []string{"win", "loss", "loss", "draw"}[h.rnd.IntN(4)])}
}

// subject gives some addresses much more often than others.
func (h *history) subject() string {
	if h.rnd.Float64() < h.once {
		return fmt.Sprintf("10.%d.%d.%d", 1+h.rnd.IntN(200), h.rnd.IntN(256), h.rnd.IntN(256))
	}
	x := h.rnd.Float64()
	i := int(x * x * float64(h.subjects))
	return fmt.Sprintf("192.0.%d.%d", 2+i>>8, i&255)
}

// feed sends n records of the history, perSecond of them each second, until they are
// all acknowledged, however long the brokers are away; the channel is closed then.
func (c *crew) feed(h *history, n, perSecond int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		const beats = 20 // a second
		tick := time.NewTicker(time.Second / beats)
		defer tick.Stop()
		for sent := 0; sent < n; {
			<-tick.C
			for range min(perSecond/beats, n-sent) {
				r := h.record()
				r.Topic = c.name + "-logs"
				c.kafka.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
					if err != nil {
						c.t.Errorf("producing: %v", err)
					}
				})
				sent++
			}
		}
		if err := c.kafka.Flush(context.Background()); err != nil {
			c.t.Errorf("producing: %v", err)
		}
	}()
	return done
}
