package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// crew is a site with several processes, as many as a test lets live at a time.
type crew struct {
	*site
	adm      *kadm.Client
	ruleText string
	bounded  bool // events of subjects are forgotten for want of memory
}

// hand is a process of a crew: `apiwarden run`.
type hand struct {
	crew *crew
	name string
	cmd  *exec.Cmd
	http string
	log  lockedBuffer
}

// lockedBuffer is a log that is written and read at the same time.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newCrew(t *testing.T, o siteOptions) *crew {
	t.Helper()
	s := newSite(t, o)
	return &crew{site: s, adm: kadm.NewClient(s.kafka), ruleText: o.rules}
}

// launch starts a process. One with an instance id keeps its partitions over a restart.
func (c *crew) launch(name, instance string) *hand {
	c.t.Helper()
	h := &hand{crew: c, name: name, http: freeAddress(c.t)}
	h.cmd = exec.Command(builtBinary(c.t), "run", "--config", c.config)
	h.cmd.Env = append(h.cmd.Environ(), "APIWARDEN_HTTP_LISTEN="+h.http, "APIWARDEN_KAFKA_INSTANCE_ID="+instance)
	h.cmd.Stdout, h.cmd.Stderr = &h.log, &h.log
	if err := h.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		h.kill()
		if text := h.log.String(); c.t.Failed() {
			c.t.Logf("the log of %s ends:\n%s", h.name, text[max(0, len(text)-6000):])
		}
	})
	return h
}

// awaitReady waits until the process is ready.
func (h *hand) awaitReady() {
	h.crew.t.Helper()
	h.crew.eventually(h.name+" is ready", func() bool { return answersReady(h.http) })
}

// kill is kill -9. The process may be gone already.
func (h *hand) kill() {
	if h.cmd.ProcessState == nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait() // says that it was killed
	}
}

// halt has the process stand still until wake.
func (h *hand) halt() { h.signal(syscall.SIGSTOP) }

func (h *hand) wake() { h.signal(syscall.SIGCONT) }

func (h *hand) signal(s syscall.Signal) {
	if err := h.cmd.Process.Signal(s); err != nil {
		h.crew.t.Errorf("sending %v to %s: %v", s, h.name, err)
	}
}

// stop ends the process as an operator would, and wants it to end well.
func (h *hand) stop() {
	h.signal(syscall.SIGTERM)
	if err := h.cmd.Wait(); err != nil {
		h.crew.t.Errorf("stopping %s: %v", h.name, err)
	}
}

// settled waits until the group has committed what the logs hold now, and tells how
// long that took: the time to recover from what was done just before.
func (c *crew) settled(what string) time.Duration {
	c.t.Helper()
	began := time.Now()
	var ends kadm.ListedOffsets
	c.eventually("offsets "+what, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		var err error
		ends, err = c.adm.ListEndOffsets(ctx, c.name+"-logs")
		return err == nil && ends.Error() == nil
	})
	c.eventually(fmt.Sprintf("everything is committed %s", what), func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		have, err := c.adm.FetchOffsets(ctx, c.name)
		if err != nil {
			return false
		}
		left := int64(0)
		ends.Each(func(o kadm.ListedOffset) {
			at, _ := have.Lookup(o.Topic, o.Partition)
			left += max(0, o.Offset-max(0, at.At))
		})
		return left == 0
	})
	return time.Since(began)
}
