package consumer

import "fmt"

// costs are what docs/SIZING.md is computed from. Times are CPU time on the machine that
// docs/bench/micro.txt was recorded on, in µs; sizes are bytes. Change a figure when it
// has been measured anew, then: go test ./consumer -run TestSizingPage -update
type costs struct {
	eventBytes float64 // of a record's value
	wireBytes  float64 // of a record in a batch of the topic: key, framing, lz4

	detect     float64 // a detect process, for a record: fetch, lz4, decode, six rules, state, verdicts
	store      float64 // a store process, for a row
	clickHouse float64 // the server, for a row, merges included
	brokerIn   float64 // a broker, for a record produced to it
	brokerOut  float64 // a broker, for a record fetched from it, by a consumer or a follower

	rowBytes        float64 // of an event on ClickHouse's disk, merged
	verdictRowBytes float64 // of a verdict on ClickHouse's disk
	verdictBytes    float64 // of a record of api-verdicts
	banBytes        float64 // of a record of api-bans
	banEntry        float64 // of a ban in the memory of each detect process

	subjectBytes    float64 // of state for an active address, plus
	subjectEvent    float64 // for each of its events in the longest window
	packRatio       float64 // of snapshots, zstd at its fastest
	pack            float64 // copying and packing 1 kB of state
	unpack          float64 // unpacking 1 kB of state and inserting its records
	processBytes    float64 // of a detect process without state and bans: buffers, runtime
	storeInsertRate float64 // rows/s of one insert after the other, which is what a store process does
}

func measured() costs {
	return costs{
		eventBytes: 304,
		wireBytes:  63,

		detect:     1.03,
		store:      3.5,
		clickHouse: 6.6,
		brokerIn:   1.5,
		brokerOut:  0.21,

		rowBytes:        26,
		verdictRowBytes: 103,
		verdictBytes:    859,
		banBytes:        329,
		banEntry:        945,

		subjectBytes: 262,
		subjectEvent: 21.9,
		packRatio:    6.8,
		pack:         3.4,
		unpack:       2.2,

		processBytes:    250e6,
		storeInsertRate: 120_000,
	}
}

// figure is a line of the page's list of costs.
type figure struct{ what, value, from string }

// figures says where each cost comes from.
func (c costs) figures() []figure {
	micros := func(v float64) string { return fmt.Sprintf("%.2f µs", v) }
	size := func(v float64) string { return fmt.Sprintf("%.0f B", v) }
	return []figure{
		{"a record's value", size(c.eventBytes), "as in the comparison with peers"},
		{"a record in api-logs, packed (lz4)", size(c.wireBytes), "2 M records of the demo's traffic in Kafka's log (404 B unpacked); 56 for the 304-byte records, 45 for two real access logs"},
		{"detect: a record", micros(c.detect), "CPU time of `apiwarden detect` on 2 M records from Apache Kafka, six rules (0.80 with one rule), `make bench-report`"},
		{"store: a row", micros(c.store), "CPU time of `apiwarden store` on the same"},
		{"ClickHouse: a row", micros(c.clickHouse), "CPU time of the engine (chdb 26.7) meanwhile, every part merged once"},
		{"broker: a record produced", micros(c.brokerIn), "CPU time of Kafka 4.3 while `apiwarden produce` sent 2 M"},
		{"broker: a record fetched", micros(c.brokerOut), "the same while detect read them"},
		{"an event on ClickHouse's disk", size(c.rowBytes), "304-byte events, parts merged; 20 for the demo's, 26 for two real access logs, 22 in `BenchmarkRowOnDisk`"},
		{"a verdict on ClickHouse's disk", size(c.verdictRowBytes), "the demo's"},
		{"a verdict, a ban on their topics", size(c.verdictBytes) + ", " + size(c.banBytes), "`BenchmarkVerdictEncode`, `BenchmarkBanEncode`, not packed"},
		{"a ban in the memory of each detect process", size(c.banEntry), "`BenchmarkBanTable`"},
		{"state of an active address", fmt.Sprintf("%.0f B + %.1f B an event in the window", c.subjectBytes, c.subjectEvent), "306, 840 and 4,199 B with 2, 20 and 180 events within an hour, six rules"},
		{"snapshots: copying and packing (zstd)", fmt.Sprintf("%.1f to 1, %.1f µs a kB", c.packRatio, c.pack), "`BenchmarkSnapshot`: 2.5 µs a kB of memory with 2 events an address, 4.3 with 180; 6.9 and 6.8 to 1. Only what has changed is packed"},
		{"restore: unpacking, inserting", fmt.Sprintf("%.1f µs a kB", c.unpack), "`BenchmarkSnapshot`: 1 M addresses in 0.4 s of one core; through Kafka, with reading again what came since, see FAULTS.md"},
		{"a detect process without state", fmt.Sprintf("%.0f MB", c.processBytes/1e6), "resident memory after 2 M records, less its state"},
		{"a store process's inserts", fmt.Sprintf("%.0f,000 rows/s", c.storeInsertRate/1000), "`BenchmarkInsertEvents`: one insert after the other, two cores shared by client and server"},
	}
}

// usage is what is assumed of a site, not measured: change it to yours.
type usage struct {
	perHour     float64 // events of an active address in the longest window, which is an hour
	verdicts    float64 // per event
	bans        float64 // per event
	banned      float64 // s that a ban lasts
	kept        float64 // s that api-logs keeps its records
	stored      float64 // s that ClickHouse keeps events
	replicas    float64 // of Kafka's topics; ClickHouse has one
	utilisation float64 // of a core that is planned with
	cores       float64 // of a process of detect
	stateEach   float64 // bytes of state that a process is given
	network     float64 // bytes/s that a process can read while it restores
}

func assumed() usage {
	return usage{
		perHour: 180, verdicts: 100e-6, bans: 20e-6, banned: 3600,
		kept: 24 * 3600, stored: 30 * 24 * 3600, replicas: 3, utilisation: 0.6, cores: 4, stateEach: 8e9, network: 600e6,
	}
}
