package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/detector"
)

// faultKafka is the section kafka of crews: a crash is noticed as soon as brokers allow.
const faultKafka = ", session_timeout: 6s"

// faultState has every shard written each second.
const faultState = "state: {interval: 1s, shards: 8}\n"

// thorough gives long where APIWARDEN_TEST_FAULTS=long asks for it.
func thorough(short, long int) int {
	if os.Getenv("APIWARDEN_TEST_FAULTS") == "long" {
		return long
	}
	return short
}

// faultSeed is APIWARDEN_TEST_SEED, else another one each time, which the log names.
func faultSeed(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("APIWARDEN_TEST_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("APIWARDEN_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

func faultCrew(t *testing.T) *crew {
	t.Helper()
	return newCrew(t, siteOptions{rules: faultRules, partitions: 4, kafka: faultKafka, more: faultState})
}

// between waits for a random time.
func between(rnd *rand.Rand, least, most time.Duration) {
	time.Sleep(least + time.Duration(rnd.Int64N(int64(most-least))))
}

// recoveries are how long it took after each fault until everything was committed.
type recoveries []time.Duration

func (r recoveries) log(t *testing.T) {
	t.Helper()
	slices.Sort(r)
	t.Logf("recovered from %d faults, after %.1f s in the median and %.1f s at most", len(r), r[len(r)/2].Seconds(), r[len(r)-1].Seconds())
}

// end waits until everything is fed, compares what came of it with an undisturbed run,
// and stops the processes.
func (c *crew) end(fed <-chan struct{}, took recoveries, hands ...*hand) {
	c.t.Helper()
	<-fed
	c.exact(detector.Options{})
	took.log(c.t)
	for _, h := range hands {
		h.stop()
	}
}

// TestKill9 kills one of two processes at random moments, also while it restores, and
// starts it again after a random pause. One of them has an instance id, so that nobody
// takes over what it had.
func TestKill9(t *testing.T) {
	t.Parallel()
	rnd, c := faultSeed(t), faultCrew(t)
	crash := [2]*hand{c.launch("a", "a"), c.launch("b", "")}
	crash[0].awaitReady()
	rounds := thorough(8, 20)
	n := 400 * 4 * rounds
	fed := c.feed(newHistory(rnd.Uint64(), n, 9*time.Hour), n, 400)
	var took recoveries
	for round := range rounds {
		i := rnd.IntN(2)
		between(rnd, 100*time.Millisecond, 4*time.Second)
		crash[i].kill()
		between(rnd, time.Millisecond, 2*time.Second)
		crash[i] = c.launch([]string{"a", "b"}[i], []string{"a", ""}[i])
		if round%3 == 0 {
			took = append(took, c.settled("after a kill"))
		}
	}
	c.end(fed, took, crash[:]...)
}

// TestStandStill stops a process for longer than its session lasts, so that the other
// one takes over, and lets it go on: it still believes that it owns its partitions.
func TestStandStill(t *testing.T) {
	t.Parallel()
	rnd, c := faultSeed(t), faultCrew(t)
	both := [2]*hand{c.launch("a", ""), c.launch("b", "")}
	both[0].awaitReady()
	both[1].awaitReady()
	rounds := thorough(2, 8)
	n := 300 * 14 * rounds
	fed := c.feed(newHistory(rnd.Uint64(), n, 9*time.Hour), n, 300)
	var took recoveries
	for round := range rounds {
		h := both[round%2]
		between(rnd, 500*time.Millisecond, 3*time.Second)
		h.halt()
		began := time.Now()
		c.settled("by the other one")
		took = append(took, time.Since(began))
		between(rnd, time.Millisecond, 2*time.Second)
		h.wake()
		c.settled("after the awakening")
	}
	c.end(fed, took, both[:]...)
}

// TestRollingRestartOfTwo restarts one process after the other, as an upgrade does.
func TestRollingRestartOfTwo(t *testing.T) {
	t.Parallel()
	rnd, c := faultSeed(t), faultCrew(t)
	both := [2]*hand{c.launch("a", ""), c.launch("b", "")}
	both[0].awaitReady()
	rounds := thorough(4, 16)
	n := 300 * 4 * rounds
	fed := c.feed(newHistory(rnd.Uint64(), n, 9*time.Hour), n, 300)
	var took recoveries
	for round := range rounds {
		between(rnd, 500*time.Millisecond, 2*time.Second)
		both[round%2].stop()
		both[round%2] = c.launch([]string{"a", "b"}[round%2], "")
		took = append(took, c.settled("after a restart"))
		both[round%2].awaitReady()
	}
	c.end(fed, took, both[:]...)
}

// TestStormOfJoins has processes join and leave for a while, each second one, some
// before they have got any partition.
func TestStormOfJoins(t *testing.T) {
	t.Parallel()
	rnd, c := faultSeed(t), faultCrew(t)
	first := c.launch("first", "")
	first.awaitReady()
	seconds := thorough(12, 60)
	n := 300 * (seconds + 4)
	fed := c.feed(newHistory(rnd.Uint64(), n, 9*time.Hour), n, 300)
	var others []*hand
	for i := range seconds {
		if len(others) == 3 || len(others) > 0 && rnd.IntN(3) == 0 {
			at := rnd.IntN(len(others))
			others[at].stop()
			others = slices.Delete(others, at, at+1)
		} else {
			others = append(others, c.launch(fmt.Sprintf("other-%d", i), ""))
		}
		between(rnd, 500*time.Millisecond, 1500*time.Millisecond)
	}
	took := recoveries{c.settled("after the storm")}
	c.end(fed, took, append(others, first)...)
}

// TestKill9WhileForgetting is TestKill9 with so little memory that counts are given up:
// a restart has to give up the same.
func TestKill9WhileForgetting(t *testing.T) {
	t.Parallel()
	rnd := faultSeed(t)
	const shards, partitions = 8, 4
	c := newCrew(t, siteOptions{
		rules: faultRules, partitions: partitions, kafka: faultKafka, more: fmt.Sprintf("state: {interval: 1s, shards: %d, max_bytes: 1MiB}\n", shards),
	})
	c.bounded = true
	h := c.launch("a", "a")
	h.awaitReady()
	rounds := thorough(4, 20)
	n := 1500 * 5 * rounds
	history := newHistory(rnd.Uint64(), n, 9*time.Hour)
	history.once = 0.6
	fed := c.feed(history, n, 1500)
	var took recoveries
	for range rounds {
		between(rnd, 500*time.Millisecond, 4*time.Second)
		h.kill()
		h = c.launch("a", "a")
		took = append(took, c.settled("after a kill"))
	}
	<-fed
	if u := c.exact(detector.Options{Shards: shards, MaxBytes: 1 << 20 / shards / partitions, MaxEndpoints: 10_000}); u.evicted < 1000 {
		t.Errorf("%d subjects were given up: nothing much is tried", u.evicted)
	}
	took.log(t)
	h.stop()
}
