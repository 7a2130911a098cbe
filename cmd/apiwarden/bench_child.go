package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/apiwarden/apiwarden/sink"
)

// child is a process of this program that is measured: its CPU time and memory are
// its own.
type child struct {
	what string
	cmd  *exec.Cmd
	out  bytes.Buffer // standard output, complete once done is closed
	said tail         // standard error
	done chan struct{}
	err  error // how it ended, once done is closed
}

// startChild starts this program with args, in a process group of its own: an
// interrupt at the terminal is for the benchmark, which ends what it has started.
func (b *bench) startChild(what string, args ...string) (*child, error) {
	c := &child{what: what, cmd: exec.Command(b.self, args...), done: make(chan struct{})}
	return c, c.start()
}

func (c *child) start() error {
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// What the environment configures would be measured instead of what is reported.
	c.cmd.Env = append(c.cmd.Env, slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "APIWARDEN_") })...)
	if c.cmd.Stdout == nil {
		c.cmd.Stdout = &c.out
	}
	c.cmd.Stderr = &c.said
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", c.what, err)
	}
	go func() {
		defer close(c.done)
		c.err = c.cmd.Wait()
	}()
	return nil
}

// wait returns when the child has ended by itself. Where ctx ends first, so does the
// child, with whatever it has started.
func (c *child) wait(ctx context.Context) error {
	select {
	case <-c.done:
	case <-ctx.Done():
		c.stop()
		return fmt.Errorf("%s: %w", c.what, context.Cause(ctx))
	}
	if c.err != nil {
		return fmt.Errorf("%s: %w: %s", c.what, c.err, c.said.String())
	}
	return nil
}

// stop asks the child's process group to end, makes it where it does not, and waits.
func (c *child) stop() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGTERM) // fails where it is gone already
	select {
	case <-c.done:
		return
	case <-time.After(15 * time.Second):
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.done
}

// cpu is all CPU time that the child has taken; after it has ended.
func (c *child) cpu() time.Duration {
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// roleSetup is what a child that runs a role is configured with.
type roleSetup struct {
	role       string // detect or store
	purpose    string // names its files and its group
	rules      string // text of the rules file
	topics     sink.Topics
	clickhouse map[string]any
	profile    string // name of a CPU profile, where --profile asks for some
}

// roleChild is a child that runs a role, and how to ask it.
type roleChild struct {
	*child
	http     string
	assigned reading // when its partitions had just been assigned
}

// startRole starts a role and returns once its partitions are assigned: from then on
// it consumes. Whoever calls it stops it.
func (b *bench) startRole(ctx context.Context, s roleSetup) (*roleChild, error) {
	rules := filepath.Join(b.dir, s.purpose+"-rules.yaml")
	if err := os.WriteFile(rules, []byte(s.rules), 0o600); err != nil {
		return nil, fmt.Errorf("writing rules: %w", err)
	}
	listen, err := unusedAddress()
	if err != nil {
		return nil, err
	}
	cfg := map[string]any{
		"kafka": map[string]any{
			"brokers": b.broker.addrs, "group": fmt.Sprintf("apiwarden-bench-%d-%s", time.Now().UnixNano(), s.purpose), "partitions": benchPartitions,
		},
		"topics": s.topics,
		"rules":  rules,
		"http":   map[string]any{"listen": listen},
	}
	if s.clickhouse != nil {
		cfg["clickhouse"] = s.clickhouse
	}
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("writing a configuration: %w", err)
	}
	file := filepath.Join(b.dir, s.purpose+".yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("writing a configuration: %w", err)
	}
	args := []string{s.role, "--config", file, "--log-level", "warn"}
	if b.o.profile != "" && s.profile != "" {
		args = append(args, "--cpu-profile", filepath.Join(b.o.profile, s.profile+".pprof"))
	}
	c, err := b.startChild(s.role, args...)
	if err != nil {
		return nil, err
	}
	r := &roleChild{child: c, http: "http://" + listen}
	if err := r.awaitAssigned(ctx); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// assignedWithin is how long a role may take to be assigned its partitions.
const assignedWithin = time.Minute

// awaitAssigned asks for metrics until there is a lag: that of a partition begins with
// its assignment. /readyz would not do, for it may wait for more while records are
// consumed already.
func (r *roleChild) awaitAssigned(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, assignedWithin, fmt.Errorf("no partitions assigned within %s", assignedWithin))
	defer cancel()
	for {
		if now, err := r.read(ctx); err == nil {
			_, detects := now.metrics["apiwarden_consumer_lag_records"]
			_, stores := now.metrics["apiwarden_consumer_store_lag_records"]
			if detects || stores {
				r.assigned = now
				return nil
			}
		}
		if err := r.pause(ctx, 4*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits for d; it fails where ctx or the child ends before.
func (r *roleChild) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.done:
		return fmt.Errorf("%s ended: %w: %s", r.what, errors.Join(r.err), r.said.String())
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w: %s", r.what, context.Cause(ctx), r.said.last())
	}
}

// unusedAddress is an address of this machine that nobody listens on.
func unusedAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
