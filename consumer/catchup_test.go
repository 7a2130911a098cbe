package consumer

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// slowLink is a connection that brings so many bytes a second: what bounds a process
// here is its network, which a fake clock can count, unlike a processor.
type slowLink struct {
	net.Conn
	bytesPerSecond float64
}

func (l *slowLink) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	time.Sleep(time.Duration(float64(n) / l.bytesPerSecond * float64(time.Second)))
	return n, err
}

// behind are the options of a detect behind a slow link, which fetches little at a time.
func (s *site) behind(bytesPerSecond float64) []kgo.Opt {
	return []kgo.Opt{
		kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := s.net.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &slowLink{conn, bytesPerSecond}, nil
		}),
		kgo.FetchMaxBytes(32 << 10), kgo.FetchMaxPartitionBytes(8 << 10),
	}
}

// flow puts so many events on each partition every tenth of a second, until stopped.
func (s *site) flow(t *testing.T, each int) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; time.Sleep(modelStep * 1e9) {
			s.burst(t, each)
		}
	}()
	return func() { cancel(); <-done }
}

// burst puts so many events on each partition.
func (s *site) burst(t *testing.T, each int) {
	var recs []*kgo.Record
	for p := range s.cfg.Kafka.Partitions {
		for i := range each {
			ip := fmt.Sprintf("192.0.%d.%d", p, i%200)
			recs = append(recs, &kgo.Record{Topic: s.cfg.Topics.Logs, Partition: p, Key: []byte(ip), Value: []byte(event(ip, "/quiet"))})
		}
	}
	if err := s.cl.ProduceSync(context.WithoutCancel(t.Context()), recs...).FirstErr(); err != nil {
		t.Error(err)
	}
}

// TestCatchUpTakesWhatTheModelSays stops a detect that uses a quarter or half of its
// capacity and starts it again after a while: it has caught up when the model behind
// docs/SIZING.md says that it has, from the capacity, which is measured first.
func TestCatchUpTakesWhatTheModelSays(t *testing.T) {
	for _, tc := range []struct {
		each int // events a partition gets each tenth of a second
		down time.Duration
	}{{10, 20 * time.Second}, {20, 30 * time.Second}} {
		t.Run(fmt.Sprintf("each=%d,down=%v", tc.each, tc.down), func(t *testing.T) {
			atSite(t, func(t *testing.T, s *site) {
				s.cl = s.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
				s.adm = kadm.NewClient(s.cl)
				link := s.behind(200_000)

				const sample = 5000
				s.burst(t, sample)
				began := time.Now()
				d := s.detect(t, everyEvent, link...)
				s.awaitLag(t, d, 0)
				capacity := float64(sample*int(s.cfg.Kafka.Partitions)) / time.Since(began).Seconds()

				rate := float64(tc.each*int(s.cfg.Kafka.Partitions)) / modelStep
				m := groupModel(int(s.cfg.Kafka.Partitions))
				m.rate, m.capacity, m.notice = rate, capacity, time.Second // alone in its group, it waits for nobody's heartbeat
				predicted := m.rolling(1, tc.down, true)

				defer s.flow(t, tc.each)()
				time.Sleep(10 * time.Second)
				stopped := time.Now()
				if err := d.stop(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(tc.down - time.Since(stopped))
				d = s.detect(t, everyEvent, link...)
				s.awaitLag(t, d, rate)
				took := time.Since(stopped)
				t.Logf("%.0f events/s, capacity %.0f: caught up after %v, predicted %v", rate, capacity, took, predicted.each)
				if ratio := took.Seconds() / predicted.each.Seconds(); ratio < 0.85 || ratio > 1.15 {
					t.Errorf("caught up after %v, the model says %v", took, predicted.each)
				}
			})
		})
	}
}

// awaitLag waits until no partition is further behind than so many events.
func (s *site) awaitLag(t *testing.T, d *running, events float64) {
	t.Helper()
	for range 6000 {
		if s.uncommitted(t) <= int64(events) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	lag, _ := lagOf(t, d, "apiwarden_consumer_lag_records")
	t.Fatalf("still %v events behind after ten minutes", lag)
}
