// Package service starts the real services of the scripts beside it, Apache Kafka
// and the ClickHouse engine, for tests and the demo.
package service

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a running service. It lives until Stop is called or this process
// ends, however it ends.
type Process struct {
	Addr  string            // host:port
	Extra map[string]string // further addresses by name: "sasl", "tls"

	stdin io.Closer
	cmd   *exec.Cmd
	done  chan struct{}
	stop  sync.Once
}

// AbsentError says that a service cannot be had on this machine.
type AbsentError struct{ What string }

func (e *AbsentError) Error() string { return e.What + " not found" }

// Kafka starts one Apache Kafka broker, with SASL (Extra["sasl"]) and TLS
// (Extra["tls"]: address, blank, file of the CA) listeners beside the plain one.
// Topics are not created by themselves. It fetches what is needed first, and gives
// an *AbsentError where that cannot be done.
func Kafka(ctx context.Context, log io.Writer) (*Process, error) {
	return start(ctx, log, []string{"java", "mvn"}, "kafka.sh", "run", "--exit-with-parent", "--sasl", "--tls")
}

// Broker starts one Apache Kafka broker on the data directory dir, with further flags
// of kafka.sh: with --port it has the same address when it is started again.
func Broker(ctx context.Context, log io.Writer, dir string, flags ...string) (*Process, error) {
	args := []string{"run", "--exit-with-parent", "--data", dir}
	return start(ctx, log, []string{"java", "mvn"}, "kafka.sh", append(args, flags...)...)
}

// ClickHouse starts the ClickHouse engine behind HTTP on the data directory dir; ""
// is a temporary one. flags are further ones of chdb-server. It fetches and builds
// what is needed first, and gives an *AbsentError where that cannot be done.
func ClickHouse(ctx context.Context, log io.Writer, dir string, flags ...string) (*Process, error) {
	args := []string{"run", "--exit-with-parent"}
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("naming the engine's data directory: %w", err)
		}
		args = append(args, "--path", abs)
	}
	return start(ctx, log, []string{"npm", "go"}, "chdb.sh", append(args, flags...)...)
}

// NativeClickHouse starts a ClickHouse server that is installed on this machine, on
// the data directory dir, for its native protocol. Its version is whatever there is.
// flags are further ones of clickhouse-native.sh.
func NativeClickHouse(ctx context.Context, log io.Writer, dir string, flags ...string) (*Process, error) {
	args := []string{"run", "--exit-with-parent", "--data", dir}
	return start(ctx, log, []string{"clickhouse-server"}, "clickhouse-native.sh", append(args, flags...)...)
}

// Repository is the folder of the go.mod at or above the working directory.
func Repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", &AbsentError{"a go.mod at or above the working directory"}
		}
		dir = up
	}
}

const addrPrefix = "listening on "

func start(ctx context.Context, log io.Writer, tools []string, script string, args ...string) (*Process, error) {
	for _, tool := range append([]string{"bash"}, tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, &AbsentError{tool}
		}
	}
	repo, err := Repository()
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = io.Discard
	}
	cmd := exec.Command(filepath.Join(repo, "deploy", "dev", script), args...)
	// A group of its own: an interrupt at the terminal is for the caller, who stops
	// its services in an order of its choosing.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var tail tailWriter
	cmd.Stderr = io.MultiWriter(&tail, log)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", script, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", script, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", script, err)
	}
	p := &Process{Extra: map[string]string{}, stdin: stdin, cmd: cmd, done: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		defer close(p.done)
		p.readAddresses(stdout, ready)
		_ = cmd.Wait() // it was told to end, or says why not in its output
	}()
	select {
	case <-ready:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("starting %s: it ended with %q", script, tail.String())
	case <-ctx.Done():
		p.Stop()
		return nil, fmt.Errorf("starting %s: %w (it said %q)", script, context.Cause(ctx), tail.String())
	}
}

// readAddresses reads what the script prints until it closes its output.
func (p *Process) readAddresses(r io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if addr, ok := strings.CutPrefix(line, addrPrefix); ok && p.Addr == "" {
			p.Addr = strings.TrimPrefix(addr, "http://")
			close(ready)
		} else if name, addr, ok := strings.Cut(line, " "); ok && p.Addr == "" {
			p.Extra[name] = addr
		}
	}
}

// Stop ends the service and waits until it is gone. It may be called again.
func (p *Process) Stop() {
	p.stop.Do(func() {
		p.stdin.Close()
		select {
		case <-p.done:
			return
		case <-time.After(15 * time.Second):
		}
		p.killGroup()
	})
	<-p.done
}

// Kill ends the service at once, as a crash would.
func (p *Process) Kill() {
	p.killGroup()
	p.stdin.Close()
	<-p.done
}

func (p *Process) killGroup() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // fails where it is gone already
}

// tailWriter keeps the end of what is written to it.
type tailWriter struct {
	mu  sync.Mutex
	buf []byte
}

func (w *tailWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, b...)
	if extra := len(w.buf) - 2000; extra > 0 {
		w.buf = append(w.buf[:0], w.buf[extra:]...)
	}
	return len(b), nil
}

func (w *tailWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(bytes.TrimSpace(w.buf))
}
