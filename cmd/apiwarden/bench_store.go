package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/apiwarden/apiwarden/deploy/dev/service"
)

// storeTail is more rows than store keeps back for a larger batch.
const storeTail = 70_000

// measureStore measures the role store, from the topic of events to durable rows.
func (b *bench) measureStore(ctx context.Context) error {
	logs, err := b.sharedLogs(ctx)
	if err != nil {
		return err
	}
	server, err := b.openStore(ctx)
	if absent, ok := errors.AsType[*service.AbsentError](err); ok {
		b.say("left out: %v; name a ClickHouse with --clickhouse HOST:PORT", absent)
		return nil
	}
	if err != nil {
		return err
	}
	defer server.close()
	inserts, err := b.insertRate(ctx, server)
	if err != nil {
		return err
	}
	b.say("inserts alone: %.0f rows/s", inserts)
	var all []throughput
	for range b.size.rounds {
		t, err := b.storeAll(ctx, logs, server)
		if err != nil {
			return err
		}
		b.say("store: %.2f s, %.0f rows/s, %.0f per CPU-second", t.Seconds, t.rate(), t.perCPU())
		all = append(all, t)
	}
	b.report.add(
		atLeast(200_000, measure{Section: "store", ID: "store_inserts", What: "rows into ClickHouse, the engine on the same machine", Value: inserts, Unit: "rows/s"}),
		measure{Section: "store", ID: "store_rate", What: "rows from Kafka into ClickHouse, both on the same machine", Value: medianOf(all, throughput.rate), Unit: "rows/s"},
		measure{Section: "store", ID: "store_per_cpu", What: "rows per CPU-second of store", Value: medianOf(all, throughput.perCPU), Unit: "rows/s"},
	)
	return nil
}

// openStore is the server of --clickhouse, or an engine that is started.
func (b *bench) openStore(ctx context.Context) (*engine, error) {
	if b.o.clickhouse != "" {
		return namedEngine(ctx, b.o.clickhouse), nil
	}
	b.say("starting the ClickHouse engine")
	started, err := service.ClickHouse(ctx, b.errOut, "")
	if err != nil {
		return nil, err
	}
	return &engine{addr: started.Addr, http: true, close: started.Stop}, nil
}

// storeAll has a store process of its own store every event of a topic, in a database
// that goes with the measurement.
func (b *bench) storeAll(ctx context.Context, logs string, server *engine) (throughput, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("not done within %s", measureTimeout))
	defer cancel()
	topics := b.topicSet("store")
	topics.Logs = logs
	if err := b.makeOutputs(ctx, topics); err != nil {
		return throughput{}, err
	}
	database := fmt.Sprintf("apiwarden_bench_%d", time.Now().UnixNano())
	protocol := "native"
	if server.http {
		protocol = "http"
		defer b.dropDatabase(server.addr, database)
	}
	c, err := b.startRole(ctx, roleSetup{
		role: "store", purpose: "store", rules: benchOneRule, topics: topics, profile: "store",
		clickhouse: map[string]any{"addresses": []string{server.addr}, "protocol": protocol, "database": database},
	})
	if err != nil {
		return throughput{}, err
	}
	defer c.stop()
	// The last rows wait for company that does not come: they are not what is measured.
	return c.consumeAll(ctx, "apiwarden_consumer_store_records_total", max(1, b.size.events-storeTail))
}

// dropDatabase removes a database over HTTP, the protocol of the engine that is
// started. On a server that speaks the other one it stays, and is named.
func (b *bench) dropDatabase(addr, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, _, err := net.SplitHostPort(addr); err != nil {
		b.say("the database %s stays: %v", name, err)
		return
	}
	to := "http://" + addr + "/?query=" + url.QueryEscape("DROP DATABASE IF EXISTS "+name+" SYNC")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, nil)
	if err == nil {
		var resp *http.Response
		if resp, err = http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
	}
	b.say("the database %s stays: %v", name, err)
}
