//go:build unix

package consumer

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime is how long this process has computed: unlike a clock, it does not count
// what else the machine was busy with.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
