package main

import (
	"strings"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

// TestBrokerAway stops the only broker while two processes judge, for longer than their
// sessions last, and starts it again: they wait, and go on.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	rnd, broker := faultSeed(t), dev.KafkaAlone(t, 1)
	c := newCrew(t, siteOptions{rules: faultRules, partitions: 4, broker: broker.Addrs[0], kafka: faultKafka, more: faultState})
	both := [2]*hand{c.launch("a", ""), c.launch("b", "")}
	both[0].awaitReady()
	rounds := thorough(1, 3)
	n := 300 * 35 * rounds
	fed := c.feed(newHistory(rnd.Uint64(), n, 9*time.Hour), n, 300)
	var took recoveries
	for range rounds {
		between(rnd, 2*time.Second, 5*time.Second)
		broker.Stop(0)
		time.Sleep(20 * time.Second)
		broker.Start(0)
		took = append(took, c.settled("after the broker came back"))
	}
	c.end(fed, took, both[:]...)
}

// TestOneOfThreeBrokersCrashes kills one broker after the other of three, each time
// with one process as well.
func TestOneOfThreeBrokersCrashes(t *testing.T) {
	t.Parallel()
	rnd, brokers := faultSeed(t), dev.KafkaAlone(t, 3)
	c := newCrew(t, siteOptions{rules: faultRules, partitions: 4, broker: strings.Join(brokers.Addrs, ","), kafka: faultKafka + ", replication: 3", more: faultState})
	both := [2]*hand{c.launch("a", ""), c.launch("b", "")}
	both[0].awaitReady()
	rounds := thorough(1, 3)
	n := 300 * 20 * rounds
	fed := c.feed(newHistory(rnd.Uint64(), n, 9*time.Hour), n, 300)
	var took recoveries
	for round := range rounds {
		between(rnd, 2*time.Second, 5*time.Second)
		brokers.Kill(round % 3)
		took = append(took, c.settled("with two brokers"))
		both[round%2].kill()
		both[round%2] = c.launch([]string{"a", "b"}[round%2], "")
		took = append(took, c.settled("after a kill, with two brokers"))
		brokers.Start(round % 3)
		c.settled("with three brokers again")
	}
	c.end(fed, took, both[:]...)
}
