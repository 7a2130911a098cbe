package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

// playing is a demo that runs as a child process.
type playing struct {
	t       *testing.T
	cmd     *exec.Cmd
	stderr  bytes.Buffer
	summary string
	ended   chan struct{} // closed when the output has ended

	mu   sync.Mutex
	text strings.Builder // standard output
}

// startDemo starts `apiwarden demo` with the flags, in the repository, where it finds
// the engine.
func startDemo(t *testing.T, flags ...string) *playing {
	t.Helper()
	dev.ClickHouse(t) // fetches the engine, or says why there is none
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	p := &playing{t: t, summary: filepath.Join(t.TempDir(), "summary.json"), ended: make(chan struct{})}
	p.cmd = exec.Command(builtBinary(t), append([]string{"demo", "--summary", p.summary}, flags...)...)
	p.cmd.Dir, p.cmd.Stderr = root, &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended already unless the test failed
	})
	go func() {
		defer close(p.ended)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			p.text.WriteString(line)
			p.mu.Unlock()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				return
			}
		}
	}()
	return p
}

func (p *playing) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// await gives what the first group of expr matches in the output, as soon as it does.
func (p *playing) await(expr string) string {
	p.t.Helper()
	re := regexp.MustCompile(expr)
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if m := re.FindStringSubmatch(p.output()); m != nil {
			return m[1]
		}
		if closed(p.ended) {
			break
		}
	}
	p.t.Fatalf("no %q in the output:\n%s\n%s", expr, p.output(), p.stderr.String())
	return ""
}

// end waits until the demo has ended and gives its reckoning.
func (p *playing) end() reckoning {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(5 * time.Minute):
		p.t.Fatalf("the demo does not end:\n%s", p.output())
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the demo ended with %v:\n%s\n%s", err, p.output(), p.stderr.String())
	}
	text, err := os.ReadFile(p.summary)
	if err != nil {
		p.t.Fatalf("%v; output:\n%s", err, p.output())
	}
	var r reckoning
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&r); err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
	return r
}

// checkReckoning holds r against what a demo has to come to.
func checkReckoning(t *testing.T, r reckoning, attackers, bad int) {
	t.Helper()
	if len(r.Attackers) < attackers || len(r.Missed) > 0 || len(r.InnocentBanned) > 0 {
		t.Errorf("%d attackers (want %d or more), missed %v, innocents banned %v", len(r.Attackers), attackers, r.Missed, r.InnocentBanned)
	}
	if diff := cmp.Diff(len(r.Attackers), len(r.Banned)); diff != "" {
		t.Errorf("attackers and banned:\n%s", diff)
	}
	if r.EventsProduced < 110_000 || r.EventsStored != r.EventsProduced {
		t.Errorf("%d events produced, %d stored", r.EventsProduced, r.EventsStored)
	}
	if r.Verdicts < 20 || r.VerdictsStored != r.Verdicts || r.Bans < attackers {
		t.Errorf("%d verdicts, %d stored, %d bans", r.Verdicts, r.VerdictsStored, r.Bans)
	}
	if r.DeadLettered != bad {
		t.Errorf("%d dead letters, want %d", r.DeadLettered, bad)
	}
	if r.P99 <= 0 {
		t.Errorf("p99 is %v ms", r.P99)
	}
	t.Logf("%d events, %d verdicts, p99 %.0f ms", r.EventsProduced, r.Verdicts, r.P99)
}

func TestDemo(t *testing.T) {
	t.Parallel()
	p := startDemo(t, "--for", "20s", "--seed", "4", "--bad-records", "12")
	r := p.end()
	checkReckoning(t, r, 18, 12)
	if r.Seconds != 20 {
		t.Errorf("%v seconds of live traffic, want 20", r.Seconds)
	}
	if !strings.Contains(p.output(), "ban      scanner-agent") {
		t.Errorf("the plain view does not tell of the scanner:\n%s", p.output())
	}
}

func TestDemoOnServers(t *testing.T) {
	t.Parallel()
	broker := dev.Kafka(t)
	p := startDemo(t, "--for", "12s", "--rate", "500", "--brokers", broker, "--clickhouse", dev.ClickHouse(t))
	r := p.end()
	checkReckoning(t, r, 18, 0)
	if !strings.Contains(p.output(), broker) {
		t.Errorf("the output does not name the broker:\n%s", p.output())
	}
}

// An interrupt ends the demo cleanly, with its reckoning.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	p := startDemo(t, "--for", "0", "--rate", "300")
	p.await(`(?m)^(live) `)
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	r := p.end()
	if len(r.Missed) > 0 || len(r.InnocentBanned) > 0 || r.EventsStored != r.EventsProduced {
		t.Errorf("missed %v, innocents banned %v, %d of %d events stored", r.Missed, r.InnocentBanned, r.EventsStored, r.EventsProduced)
	}
}

func TestDemoRefuses(t *testing.T) {
	bin := builtBinary(t)
	for name, c := range map[string]struct {
		flags  []string
		status int
		want   string
	}{
		"too short":  {[]string{"--for", "2s"}, statusRefused, "too short"},
		"low rate":   {[]string{"--rate", "1"}, statusRefused, "out of range"},
		"bad record": {[]string{"--bad-records", "-1"}, statusRefused, "negative"},
		"open to the world": {[]string{"--http", "0.0.0.0:0", "--brokers", "127.0.0.1:1"}, statusRefused,
			"loopback"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(bin, append([]string{"demo"}, c.flags...)...)
			out, err := cmd.CombinedOutput()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != c.status || !strings.Contains(string(out), c.want) {
				t.Errorf("ended with %v, want status %d and %q:\n%s", err, c.status, c.want, out)
			}
		})
	}
}

// Without the engine the demo says how to get it.
func TestDemoWithoutEngine(t *testing.T) {
	bin := builtBinary(t)
	cmd := exec.Command(bin, "demo")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "APIWARDEN_DEV_DIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "make demo") || !strings.Contains(string(out), "--clickhouse") {
		t.Errorf("ended with %v:\n%s", err, out)
	}
}
