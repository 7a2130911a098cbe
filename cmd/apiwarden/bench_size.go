package main

import "time"

// benchSize is how much a run measures with.
type benchSize struct {
	events    int // of a throughput measurement
	rounds    int // of a throughput measurement
	addresses int

	floodLive int // events of each flooding client inside the window

	fewAddresses  int // of the two memory measurements
	manyAddresses int

	latencyRate  int // events a second of the measurement that has targets
	latencyFor   time.Duration
	latencyPoint time.Duration // of each point of the curve
	warmUp       time.Duration
	loadFraction []float64

	replayLines     int
	replayAddresses []int

	growthEvents    int // measured in each point
	growthAddresses []int
	growthRules     []int
	growthWindows   []time.Duration
	growthClients   int // addresses where it is not they that grow

	peerSeconds int
}

// floodClients is how many clients flood.
const floodClients = 10

func fullSize() benchSize {
	return benchSize{
		events: 2_000_000, rounds: 3, addresses: 102_400,
		floodLive:    20_000,
		fewAddresses: 200_000, manyAddresses: 1_200_000,
		latencyRate: 100_000, latencyFor: 10 * time.Second, latencyPoint: 8 * time.Second, warmUp: 4 * time.Second,
		loadFraction: []float64{0.1, 0.25, 0.5, 0.75, 0.9},
		replayLines:  2_000_000, replayAddresses: []int{20_000, 1_000_000},
		growthEvents:    1_000_000,
		growthAddresses: []int{10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000, 5_000_000},
		growthRules:     []int{1, 3, 10, 30, 100},
		growthWindows:   []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour},
		growthClients:   20_000,
		peerSeconds:     120,
	}
}

func quickSize() benchSize {
	return benchSize{
		events: 60_000, rounds: 1, addresses: 5_000,
		floodLive:    500,
		fewAddresses: 2_000, manyAddresses: 22_000,
		latencyRate: 2_000, latencyFor: time.Second, latencyPoint: 500 * time.Millisecond, warmUp: 300 * time.Millisecond,
		loadFraction: []float64{0.1, 0.5},
		replayLines:  50_000, replayAddresses: []int{1_000, 20_000},
		growthEvents:    50_000,
		growthAddresses: []int{1_000, 10_000},
		growthRules:     []int{1, 10},
		growthWindows:   []time.Duration{10 * time.Second, time.Hour},
		growthClients:   1_000,
		peerSeconds:     20,
	}
}
