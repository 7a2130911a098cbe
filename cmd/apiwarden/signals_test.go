package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSecondSignalExits(t *testing.T) {
	status := make(chan int, 1)
	ctx, release := interruptible(context.Background(), func(s int) { status <- s })
	defer release()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the first signal does not cancel the context")
	}
	if err := self.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-status:
		if got != statusInterrupted {
			t.Errorf("status %d, want %d", got, statusInterrupted)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the second signal does not end the process")
	}
}

// TestReplayStopsOnSignal interrupts a replay that waits for standard input: what it
// has judged is printed, and it ends with status 0.
func TestReplayStopsOnSignal(t *testing.T) {
	rules := writeFile(t, "rules.yaml", "version: 1\nrules:\n  - {id: calls, type: usage, threshold: 1, window: 60s}\n")
	cmd := exec.Command(builtBinary(t), "replay", "--rules", rules)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	event := `{"timestamp":"2026-01-01T00:00:00Z","client_ip":"192.0.2.7","method":"GET","path":"/a","status":200}` + "\n"
	if _, err := stdin.Write([]byte(event + event)); err != nil {
		t.Fatal(err)
	}
	// A verdict is seen while the log goes on.
	buf := make([]byte, 4096)
	n, err := stdout.Read(buf)
	if err != nil || !strings.Contains(string(buf[:n]), `"rule_id":"calls"`) {
		t.Fatalf("first output: %q, %v", buf[:n], err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if !strings.Contains(stderr.String(), "until it was interrupted") {
		t.Errorf("summary: %q", stderr.String())
	}
}
