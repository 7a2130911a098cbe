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
	<-fed
	c.exact(detector.Options{})
	took.log(t)
	crash[0].stop()
	crash[1].stop()
}
