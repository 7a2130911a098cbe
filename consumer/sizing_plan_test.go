package consumer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// plan is what a rate of events needs.
type plan struct {
	rate       float64 // events/s
	interval   time.Duration
	processes  int // of detect
	partitions int

	addresses float64
	state     float64 // bytes, of the group
	banTable  float64 // bytes, in each process
	memory    float64 // bytes, of each process

	detectCores, packCores, storeCores, clickHouseCores, brokerCores float64

	logs      float64 // bytes/s produced to api-logs, packed
	snapshots float64 // bytes/s produced to apiwarden-state, packed
	verdicts  float64 // bytes/s produced to api-verdicts
	bans      float64 // bytes/s produced to api-bans
	banReads  float64 // bytes/s of api-bans to all detect processes
	kafkaNet  float64 // bytes/s in and out of all brokers
	kafkaDisk float64 // bytes, of api-logs
	rows      float64 // bytes a day on ClickHouse's disk
	disk      float64 // bytes on ClickHouse's disk
	servers   int     // of 16 cores that ClickHouse would take
	stores    int     // processes of store
}

// loopEfficiency is how much of its cores a process can use that is behind: between a
// poll and the next it waits for acknowledgements.
const loopEfficiency = 0.8

// planFor computes what a rate needs. A snapshot cycle is as short as it can be (a
// minute is the default) while packing takes no more than one core, or half as many as
// judging.
func planFor(rate float64, c costs, u usage) plan {
	p := plan{rate: rate}
	cores := func(micros float64) float64 { return rate * micros / 1e6 / u.utilisation }

	p.addresses = rate * 3600 / u.perHour
	p.state = p.addresses * (c.subjectBytes + u.perHour*c.subjectEvent)
	p.detectCores = cores(c.detect)
	packing := p.state / 1000 * c.pack / 1e6 / u.utilisation // cores × s of one cycle
	for _, p.interval = range []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute} {
		if p.packCores = packing / p.interval.Seconds(); p.packCores <= max(1.1, p.detectCores/2) {
			break
		}
	}
	p.processes = max(2, whole((p.detectCores+p.packCores)/u.cores), whole(p.state/u.stateEach))
	p.partitions = max(12, 5*p.processes)
	if rate == 10e6 { // the size that is simulated
		p.processes, p.partitions = max(p.processes, 100), max(p.partitions, 500)
	}

	p.logs = rate * c.wireBytes
	p.snapshots = p.state / c.packRatio / p.interval.Seconds()
	p.verdicts = rate * u.verdicts * c.verdictBytes
	p.bans = rate * u.bans * (c.banBytes + 60) // and a tombstone
	p.banReads = p.bans * float64(p.processes)
	p.banTable = rate * u.bans * u.banned * c.banEntry
	p.memory = c.processBytes + p.banTable + 1.5*p.state/float64(p.processes) // 1.5: chunks that are not full, the collector's slack

	// Every byte comes in once, goes to each follower, and api-logs to two groups.
	written := p.logs + p.snapshots + p.verdicts + p.bans
	p.kafkaNet = written*(1+2*(u.replicas-1)) + 2*p.logs + p.verdicts + p.banReads
	p.kafkaDisk = p.logs * u.kept * u.replicas
	p.brokerCores = cores(c.brokerIn*u.replicas + c.brokerOut*(u.replicas-1+2)) // a follower's append is reckoned as a producer's
	p.storeCores = cores(c.store)
	p.stores = max(2, whole(rate/c.storeInsertRate))
	p.clickHouseCores = cores(c.clickHouse)
	p.rows = 86400 * rate * (c.rowBytes + u.verdicts*c.verdictRowBytes)
	p.disk = p.rows * u.stored / 86400
	p.servers = whole(p.clickHouseCores / 16)
	return p
}

func whole(n float64) int { return int(math.Ceil(n)) }

// all gives the cores of everything.
func (p plan) all() float64 {
	return p.detectCores + p.packCores + p.storeCores + p.clickHouseCores + p.brokerCores
}

// dearest names what takes most cores.
func (p plan) dearest() string {
	type part struct {
		name  string
		cores float64
	}
	parts := []part{{"judging", p.detectCores}, {"snapshots", p.packCores}, {"store", p.storeCores}, {"ClickHouse", p.clickHouseCores}, {"brokers", p.brokerCores}}
	most := slices.MaxFunc(parts, func(a, b part) int { return cmp.Compare(a.cores, b.cores) })
	return fmt.Sprintf("%s, %.0f %%", most.name, 100*most.cores/p.all())
}

// fleet is the plan as the model sees it.
func (p plan) fleet(c costs, u usage) fleetModel {
	return fleetModel{
		partitions: p.partitions,
		rate:       p.rate,
		cores:      u.cores,
		capacity:   1e6 / c.detect * loopEfficiency,
		state:      p.state,
		restore:    min(1e9/c.unpack*loopEfficiency, u.network*c.packRatio/u.cores),
		interval:   p.interval,
		notice:     groupModel(p.partitions).notice,
		rounds:     groupModel(p.partitions).rounds,
	}
}
