package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/deploy/dev"
	"github.com/apiwarden/apiwarden/deploy/dev/service"
	"github.com/apiwarden/apiwarden/detector"
)

// soakHistory is what a soak feeds, however long it takes. Windows are a fraction of
// it, so that the processes have all that they will ever hold long before the end.
const soakHistory = 12 * time.Hour

// levelAfter is how long a soak takes at least for its memory to be called level.
const levelAfter = 2 * time.Minute

// soakRules are faultRules with windows that are full after a sixth of soakHistory.
func soakRules() string {
	return strings.NewReplacer("24h", "2h", "12h", "90m", "8h", "1h", "6h", "1h").Replace(faultRules)
}

// TestSoak has two processes judge a constant load while faults come at random: kill -9
// of one of them, stand still of either, restarts of the broker and of the ClickHouse
// engine. The other process lives throughout: its memory and goroutines stay level.
// APIWARDEN_TEST_SOAK says for how long (40s).
func TestSoak(t *testing.T) {
	length := 40 * time.Second
	if text := os.Getenv("APIWARDEN_TEST_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	rnd, broker, engine := faultSeed(t), dev.KafkaAlone(t, 1), startOwnEngine(t)
	c := newCrew(t, siteOptions{
		rules: soakRules(), partitions: 4, broker: broker.Addrs[0], clickhouse: engine.process.Addr, kafka: faultKafka, more: faultState,
	})
	s := &soak{crew: c, length: length, rnd: rnd, broker: broker, engine: engine, counts: map[string]int{},
		steady: c.launch("steady", ""), mortal: c.launch("mortal", "")}
	s.steady.awaitReady()
	const perSecond = 500
	n := int(length.Seconds()) * perSecond
	history := newHistory(rnd.Uint64(), n, soakHistory)
	history.once = 0.3
	fed := c.feed(history, n, perSecond)
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() { defer close(watched); s.watch(stop) }()
	for end := time.Now().Add(length - 5*time.Second); time.Now().Before(end); {
		between(rnd, time.Second, 4*time.Second)
		s.fault()
	}
	<-fed
	s.took = append(s.took, c.settled("at the end of the load"))
	close(stop)
	<-watched
	c.exact(detector.Options{})
	s.report()
	s.steady.stop()
	s.mortal.stop()
}

// soak is a crew with its own services.
type soak struct {
	*crew
	length         time.Duration
	rnd            *rand.Rand
	broker         *dev.Brokers
	engine         *ownEngine
	steady, mortal *hand
	took           recoveries
	kinds          []string // that come next
	counts         map[string]int
	samples        []sample
}

// sample is what a process says of itself.
type sample struct{ bytes, goroutines float64 }

// fault does one thing, and undoes it.
func (s *soak) fault() {
	if len(s.kinds) == 0 {
		s.kinds = []string{"kill -9", "stand still", "broker", "ClickHouse"}
		s.rnd.Shuffle(len(s.kinds), func(i, j int) { s.kinds[i], s.kinds[j] = s.kinds[j], s.kinds[i] })
	}
	what := s.kinds[0]
	s.kinds = s.kinds[1:]
	s.counts[what]++
	switch what {
	case "kill -9":
		s.mortal.kill()
		between(s.rnd, time.Millisecond, 2*time.Second)
		s.mortal = s.launch("mortal", "")
	case "stand still":
		h := []*hand{s.steady, s.mortal}[s.rnd.IntN(2)]
		h.halt()
		between(s.rnd, time.Second, 10*time.Second)
		h.wake()
	case "broker":
		s.broker.Stop(0)
		between(s.rnd, time.Millisecond, 5*time.Second)
		s.broker.Start(0)
	case "ClickHouse":
		s.engine.restart(s.t, s.rnd)
	}
	if s.rnd.IntN(2) == 0 {
		s.took = append(s.took, s.settled("after: "+what))
	}
}

// watch samples the process that lives throughout.
func (s *soak) watch(stop <-chan struct{}) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	client := http.Client{Timeout: 5 * time.Second}
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		resp, err := client.Get("http://" + s.steady.http + "/metrics")
		if err != nil {
			continue // it stands still
		}
		v := metricValues(resp.Body, "process_resident_memory_bytes", "go_goroutines")
		resp.Body.Close()
		if v[0] > 0 && v[1] > 0 {
			s.samples = append(s.samples, sample{v[0], v[1]})
		}
	}
}

// metricValues gives the values of metrics without labels, 0 for one that is not there.
func metricValues(r io.Reader, names ...string) []float64 {
	values := make([]float64, len(names))
	for lines := bufio.NewScanner(r); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if i := slices.Index(names, name); i >= 0 {
			fmt.Sscan(value, &values[i])
		}
	}
	return values
}

// report compares the last third of the samples with the second. In a short soak memory is
// no more than told: its thirds hold two or three faults each, and what a process needs to
// take over partitions or to wait for a broker stays with it until its heap is next swept.
func (s *soak) report() {
	s.t.Helper()
	n := len(s.samples) / 3
	if n < 5 {
		s.t.Fatalf("%d samples of the steady process", len(s.samples))
	}
	second, last := typical(s.samples[n:2*n]), typical(s.samples[2*n:])
	s.took.log(s.t)
	s.t.Logf("faults: %v; second and last third: %.1f and %.1f MB resident, %.0f and %.0f goroutines (%d samples)",
		s.counts, second.bytes/1e6, last.bytes/1e6, second.goroutines, last.goroutines, len(s.samples))
	if last.goroutines > second.goroutines*1.2+20 {
		s.t.Errorf("goroutines grow: %.0f, then %.0f", second.goroutines, last.goroutines)
	}
	if s.length < levelAfter {
		return
	}
	if last.bytes > second.bytes*1.2+20e6 {
		s.t.Errorf("memory grows: %.1f MB, then %.1f MB", second.bytes/1e6, last.bytes/1e6)
	}
}

// typical gives the medians.
func typical(all []sample) sample {
	bytes, goroutines := make([]float64, len(all)), make([]float64, len(all))
	for i, s := range all {
		bytes[i], goroutines[i] = s.bytes, s.goroutines
	}
	slices.Sort(bytes)
	slices.Sort(goroutines)
	return sample{bytes[len(bytes)/2], goroutines[len(goroutines)/2]}
}

// ownEngine is a ClickHouse engine of a test alone.
type ownEngine struct {
	process *service.Process
	dir     string
}

func startOwnEngine(t *testing.T) *ownEngine {
	t.Helper()
	e := &ownEngine{dir: t.TempDir()}
	e.process = dev.ClickHouseAlone(t, e.dir)
	t.Cleanup(func() { e.process.Stop() })
	return e
}

// restart kills the engine and starts it again at its address, after a while.
func (e *ownEngine) restart(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	addr := e.process.Addr
	e.process.Kill()
	between(rnd, time.Millisecond, 5*time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	p, err := service.ClickHouse(ctx, nil, e.dir, "--listen", addr)
	if err != nil {
		t.Fatal(err)
	}
	e.process = p
}
