package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/deploy/dev"
)

const oneRule = "version: 1\nrules:\n  - {id: calls, type: usage, threshold: 2, window: 60s, action: ban}\n"

// running is a role in a process of its own.
type running struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *bufio.Reader // standard error
	http string
}

// startRole starts apiwarden and waits until it listens.
func startRole(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	r := &running{t: t, cmd: exec.Command(builtBinary(t), append(args, "--log-format", "json", "--http", "127.0.0.1:0")...)}
	r.cmd.Env = append(r.cmd.Environ(), env...)
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			r.cmd.Process.Kill()
			r.cmd.Wait()
		}
	})
	r.log = bufio.NewReader(stderr)
	line := r.until(`"message":"starting"`)
	r.http = regexp.MustCompile(`"http":"([^"]+)"`).FindStringSubmatch(line)[1]
	return r
}

// until reads the log up to a line that contains text.
func (r *running) until(text string) string {
	r.t.Helper()
	var seen strings.Builder
	for {
		line, err := r.log.ReadString('\n')
		seen.WriteString(line)
		if strings.Contains(line, text) {
			return line
		}
		if err != nil {
			r.t.Fatalf("the log ends (%v) without %q:\n%s", err, text, &seen)
		}
	}
}

// get asks the process over HTTP.
func (r *running) get(path string) (status int, body string) {
	r.t.Helper()
	resp, err := http.Get(r.http + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// stop sends a signal and gives the exit status and what was left of the log.
func (r *running) stop(s syscall.Signal, within time.Duration) (status int, log string) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), within)
	defer cancel()
	defer context.AfterFunc(ctx, func() { r.cmd.Process.Kill() })()
	rest, err := io.ReadAll(r.log)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() < 0 {
			r.t.Fatalf("not stopped within %s (%v):\n%s", within, err, rest)
		}
	}
	return r.cmd.ProcessState.ExitCode(), string(rest)
}

func TestDetectStopsCleanly(t *testing.T) {
	addr := fakeKafka(t)
	rules := writeFile(t, "rules.yaml", oneRule)
	r := startRole(t, []string{"APIWARDEN_KAFKA_BROKERS=" + addr, "APIWARDEN_RULES=" + rules, "APIWARDEN_KAFKA_PARTITIONS=2"}, "detect")
	r.until(`"message":"partitions assigned`)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		status, why := r.get("/readyz")
		if status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %s", why)
		}
	}
	event := `{"client_ip":"192.0.2.7","method":"GET","path":"/a","status":200}` + "\n"
	program(t, strings.Repeat(event, 3)+"no event\n"+`{"client_ip":"192.0.2.8","method":"GET","path":"/a","status":7}`+"\n", "produce", "--brokers", addr, "-")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, metrics := r.get("/metrics"); strings.Contains(metrics, `apiwarden_detector_verdicts_total{action="ban",rule="calls"} 1`) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("no verdict:\n%s", metrics)
		}
	}
	lines, _ := program(t, "", "bans", "list", "--brokers", addr, "--json")
	if !strings.Contains(lines, `"value":"192.0.2.7"`) {
		t.Errorf("bans list: %q", lines)
	}
	status, log := r.stop(syscall.SIGTERM, 25*time.Second)
	if status != 0 || !strings.Contains(log, `"message":"stopped cleanly"`) {
		t.Errorf("status %d, log:\n%s", status, log)
	}
}

// TestRoleWaitsForKafka starts roles before there is a Kafka: they live, are not
// ready, say for what they wait, and stop at once when asked to.
func TestRoleWaitsForKafka(t *testing.T) {
	rules := writeFile(t, "rules.yaml", oneRule)
	for _, role := range []string{"detect", "run"} {
		t.Run(role, func(t *testing.T) {
			nobody := freeAddress(t)
			r := startRole(t, []string{
				"APIWARDEN_KAFKA_BROKERS=" + nobody, "APIWARDEN_RULES=" + rules, "APIWARDEN_CLICKHOUSE_ADDRESSES=" + freeAddress(t),
			}, role)
			r.until(nobody)
			if status, _ := r.get("/healthz"); status != http.StatusOK {
				t.Errorf("/healthz: %d", status)
			}
			if status, why := r.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(why, "waiting for") {
				t.Errorf("/readyz: %d %q", status, why)
			}
			if status, log := r.stop(syscall.SIGINT, 10*time.Second); status != 0 {
				t.Errorf("status %d, log:\n%s", status, log)
			}
		})
	}
}

// ends runs the program to its end and gives its status and standard error.
func ends(t *testing.T, env []string, args ...string) (status int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, builtBinary(t), args...)
	cmd.Env = append(cmd.Environ(), env...)
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func TestRoleRefusals(t *testing.T) {
	rules := writeFile(t, "rules.yaml", oneRule)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	status, stderr := ends(t, []string{"APIWARDEN_RULES=" + rules}, "detect", "--http", taken.Addr().String())
	if status != statusFailed || !strings.Contains(stderr, "http.listen") {
		t.Errorf("address taken: status %d, %q", status, stderr)
	}
	status, stderr = ends(t, []string{"APIWARDEN_RULES=" + rules}, "detect", "--http", "0.0.0.0:0")
	if status != statusRefused || !strings.Contains(stderr, "loopback") {
		t.Errorf("open to the world: status %d, %q", status, stderr)
	}
	bad := writeFile(t, "bad.yaml", "version: 1\nrules:\n  - {id: x, type: usage, threshold: 0, window: 1m}\n")
	status, stderr = ends(t, []string{"APIWARDEN_RULES=" + bad}, "detect", "--http", "127.0.0.1:0")
	if status != statusRefused || !strings.Contains(stderr, "bad.yaml:3: ") {
		t.Errorf("bad rules: status %d, %q", status, stderr)
	}
	keyed := writeFile(t, "keyed.yaml", "version: 1\nrules:\n  - {id: x, type: usage, threshold: 1, window: 1m, key: user_id}\n")
	status, stderr = ends(t, []string{"APIWARDEN_RULES=" + keyed}, "detect", "--http", "127.0.0.1:0")
	if status != statusRefused || !strings.Contains(stderr, "input.rekey: true") {
		t.Errorf("rules with a key: status %d, %q", status, stderr)
	}
}

// TestWrongPasswordStops tries to log in at a real Kafka with a wrong password.
func TestWrongPasswordStops(t *testing.T) {
	sasl := dev.KafkaSASL(t)
	env := []string{
		"APIWARDEN_RULES=" + writeFile(t, "rules.yaml", oneRule), "APIWARDEN_KAFKA_BROKERS=" + sasl.Broker,
		"APIWARDEN_KAFKA_SASL_MECHANISM=PLAIN", "APIWARDEN_KAFKA_SASL_USERNAME=" + sasl.Username,
		"APIWARDEN_KAFKA_SASL_PASSWORD_FILE=" + writeFile(t, "password", "wrong"),
	}
	file := filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{
		{"detect", "--http", "127.0.0.1:0"},
		{"bans", "list"},
		{"produce", writeFile(t, "events.jsonl", someLines)},
	} {
		status, stderr := ends(t, env, args...)
		if status != statusFailed || !strings.Contains(stderr, "kafka.sasl.password_file") {
			t.Errorf("%s: status %d, %q", args[0], status, stderr)
		}
	}
	env[len(env)-1] = "APIWARDEN_KAFKA_SASL_PASSWORD_FILE=" + file
	if status, stderr := ends(t, env, "bans", "list"); status == 0 || !strings.Contains(stderr, file) {
		t.Errorf("no password file: status %d, %q", status, stderr)
	}
}

func TestStopTakesNoLongerThanAllowed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stuck := make(chan struct{})
	defer close(stuck)
	cancel()
	err := withinTimeout(ctx, 50*time.Millisecond, func(context.Context) error { <-stuck; return nil })
	if err == nil || !strings.Contains(err.Error(), "shutdown_timeout") {
		t.Errorf("a stop that hangs: %v", err)
	}
	if err := withinTimeout(ctx, time.Minute, func(ctx context.Context) error { <-ctx.Done(); return nil }); err != nil {
		t.Errorf("a clean stop: %v", err)
	}
}
