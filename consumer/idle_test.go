package consumer

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestDeafnessIsNoSilence: where we cannot read for a while, or stand still because
// nothing can be written, what was logged in the meantime is in time all the same: the
// clock closes buckets only of partitions of which we know that they had nothing to say.
func TestDeafnessIsNoSilence(t *testing.T) {
	var away atomic.Bool
	for name, disturb := range map[string]func(s *site) (end func()){
		"fetches get no answer": func(s *site) func() {
			away.Store(true)
			s.ControlKey(kmsg.Fetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
				s.KeepControl()
				if away.Load() {
					return nil, errors.New("dropped"), true
				}
				return nil, nil, false
			})
			return func() { away.Store(false) }
		},
		"summaries cannot be written": func(s *site) func() {
			f := s.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.cfg.Topics.EndpointStats, Err: kerr.NotEnoughReplicas, Count: -1})
			return f.Remove
		},
		"nothing": func(*site) func() { return func() {} },
	} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(t *testing.T, s *site) {
				d := s.detect(t, latencyRule)
				r := s.stats(t, latencyRule)
				cl := s.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
				logged := 0
				log := func(d time.Duration) {
					for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
						for p := range int32(3) { // nothing is ever in the fourth
							ip := subjects()[p]
							if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: s.cfg.Topics.Logs, Partition: p, Key: []byte(ip), Value: []byte(event(ip, "/a"))}).FirstErr(); err != nil {
								t.Fatal(err)
							}
							logged++
						}
					}
				}
				log(time.Minute)
				end := disturb(s)
				log(90 * time.Second)
				end()
				log(time.Minute)
				time.Sleep(time.Minute)
				s.wantSummarized(t, logged)
				if n := r.read(readLate, readNoRoom); n != 0 {
					t.Errorf("%d summaries came too late", n)
				}
				if err := d.stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// TestSilenceIsWhatTheLeaderHasAnswered follows a partition whose last records were
// finished at 100 s.
func TestSilenceIsWhatTheLeaderHasAnswered(t *testing.T) {
	const never = -1 // or any time before the first answer
	at := func(s float64) time.Time {
		if s == 0 {
			return time.Time{}
		}
		return time.UnixMilli(int64(s * 1000))
	}
	for name, c := range map[string]struct {
		now, answered []float64
		leader        []int32
		want          float64 // s of silence, at the end
	}{
		"nobody has answered yet":                {[]float64{101, 102}, []float64{0, 0}, []int32{-1, -1}, never},
		"the first answer begins it":             {[]float64{101, 102, 103}, []float64{0, 101.5, 103}, []int32{1, 1, 1}, 1},
		"until the last answer":                  {[]float64{100, 102, 104}, []float64{100, 102, 102}, []int32{1, 1, 1}, 2},
		"an outage is left out":                  {[]float64{100, 102, 163, 164}, []float64{100, 102, 162, 164}, []int32{1, 1, 1, 1}, 4},
		"another leader has answered for others": {[]float64{100, 102, 103, 104}, []float64{100, 102, 103, 104}, []int32{1, 1, 2, 2}, 3},
		"records came late in an outage":         {[]float64{90, 101, 102}, []float64{90, 100.5, 102}, []int32{1, 1, 1}, 1},
	} {
		p := &partition{heard: at(100)}
		if len(c.answered) > 0 && c.answered[0] > 0 {
			p.leader, p.answered = c.leader[0], at(c.answered[0])
		}
		var got time.Duration
		for i := range c.now {
			got = p.silence(c.leader[i], at(c.answered[i]), at(c.now[i]))
		}
		if got.Seconds() != c.want && (c.want != never || got >= 0) {
			t.Errorf("%s: silent for %v s, want %v", name, got.Seconds(), c.want)
		}
	}
}
