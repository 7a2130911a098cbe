package dev

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apiwarden/apiwarden/deploy/dev/service"
)

// Brokers are real brokers of a test alone, which it may stop and start again.
type Brokers struct {
	Addrs []string // host:port, the same after a restart

	t     testing.TB
	dir   string
	flags [][]string
	nodes []*service.Process
}

// KafkaAlone starts one broker, or a cluster of three (replication 3, two replicas
// in sync). They are stopped when the test ends.
func KafkaAlone(t testing.TB, n int) *Brokers {
	t.Helper()
	b := &Brokers{t: t, dir: t.TempDir(), nodes: make([]*service.Process, n)}
	var voters []string
	for i := range n {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, freePort(t)))
	}
	for i := range n {
		port := freePort(t)
		b.Addrs = append(b.Addrs, fmt.Sprintf("127.0.0.1:%d", port))
		flags := []string{"--port", fmt.Sprint(port)}
		if n > 1 {
			flags = append(flags, "--node", fmt.Sprint(i+1), "--voters", strings.Join(voters, ","), "--cluster-id", "apiwardenTestCluster00")
		}
		b.flags = append(b.flags, flags)
	}
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- b.begin(i) }() // each waits for the others
	}
	var failed error
	for range n {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	t.Cleanup(func() {
		for i := range n {
			b.Kill(i)
		}
	})
	if failed != nil {
		absent(t, failed)
	}
	return b
}

func (b *Brokers) begin(i int) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	b.nodes[i], err = service.Broker(ctx, nil, filepath.Join(b.dir, fmt.Sprint(i)), b.flags[i]...)
	return err
}

// Start starts the i-th broker again.
func (b *Brokers) Start(i int) {
	b.t.Helper()
	if err := b.begin(i); err != nil {
		b.t.Fatal(err)
	}
}

// Stop ends the i-th broker as its operator would.
func (b *Brokers) Stop(i int) { b.nodes[i].Stop() }

// Kill ends the i-th broker as a crash would.
func (b *Brokers) Kill(i int) {
	if b.nodes[i] != nil {
		b.nodes[i].Kill()
	}
}

// freePort gives one that nothing listens on, and that no connection is given by itself.
func freePort(t testing.TB) int {
	t.Helper()
	for range 50 {
		port := 20000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port between 20000 and 32000")
	return 0
}
