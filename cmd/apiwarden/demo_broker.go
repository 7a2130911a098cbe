package main

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
)

// broker is a Kafka cluster that the demo runs on: kfake in this process, or one
// that was there before.
type broker struct {
	addrs []string
	close func()
}

// startBroker starts a Kafka of one broker in this process, on a free port.
func startBroker() (*broker, error) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(0), kfake.BrokerConfigs(map[string]string{
		// It keeps its topics in memory: an endless demo must not fill it.
		"log.retention.bytes":    "33554432",
		"log.cleaner.backoff.ms": "60000",
	}))
	if err != nil {
		return nil, fmt.Errorf("starting the embedded Kafka: %w", err)
	}
	return &broker{addrs: c.ListenAddrs(), close: c.Close}, nil
}
