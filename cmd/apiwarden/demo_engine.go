package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// engine is a ClickHouse that the demo stores into: a child process of ours, or a
// server that was there before.
type engine struct {
	addr  string // host:port
	http  bool   // HTTP, else the native protocol
	close func() // ends the child and removes its data
}

// startEngine starts the ClickHouse engine as a child process on a data directory
// that goes with it. The child ends when this process does, however it does.
func startEngine(ctx context.Context) (*engine, error) {
	server, lib, err := findEngine()
	if err != nil {
		return nil, err
	}
	// Without --path it keeps its data in a temporary folder and removes that itself.
	cmd := exec.Command(server, "--lib", lib, "--listen", "127.0.0.1:0", "--exit-with-parent")
	// A group of its own, so that ^C at the terminal reaches us alone: what is in
	// hand is stored before the engine ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said tail
	cmd.Stderr = &said
	stdin, errIn := cmd.StdinPipe()
	stdout, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return nil, fmt.Errorf("starting %s: %w", server, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", server, err)
	}
	addr, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if a, ok := strings.CutPrefix(lines.Text(), "listening on http://"); ok {
				addr <- a
			}
		}
		_ = cmd.Wait() // how it ended is told by what it said
	}()
	closeEngine := func() {
		stdin.Close() // --exit-with-parent: it ends with its standard input
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	select {
	case a := <-addr:
		return &engine{addr: a, http: true, close: closeEngine}, nil
	case <-ended:
		err = fmt.Errorf("starting the ClickHouse engine: %s ended: %s", server, said.last())
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(60 * time.Second):
		err = fmt.Errorf("starting the ClickHouse engine: %s did not listen within a minute: %s", server, said.last())
	}
	closeEngine()
	return nil, err
}

// findEngine looks for the engine's server program and its library where `make
// demo` puts them: seen from this executable, then from the working directory.
func findEngine() (server, lib string, err error) {
	var roots []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		roots = append(roots, filepath.Dir(exe), filepath.Dir(filepath.Dir(exe)))
	}
	if wd, err := os.Getwd(); err == nil {
		roots = append(roots, wd)
	}
	var servers, libs []string
	for _, root := range roots {
		servers = append(servers, filepath.Join(root, "chdb-server"), filepath.Join(root, "bin", "chdb-server"), filepath.Join(root, ".dev", "bin", "chdb-server"))
		libs = append(libs, filepath.Join(root, ".dev", engineLib))
	}
	if dev := os.Getenv("APIWARDEN_DEV_DIR"); dev != "" {
		servers = append([]string{filepath.Join(dev, "bin", "chdb-server")}, servers...)
		libs = append([]string{filepath.Join(dev, engineLib)}, libs...)
	}
	server, lib = firstFile(servers), firstFile(libs)
	if server == "" || lib == "" {
		return "", "", errors.New("the ClickHouse engine is not installed: run `make demo` in the repository, which fetches it (needs npm, 570 MB on disk), or name a server of yours with --clickhouse HOST:PORT")
	}
	return server, lib, nil
}

const engineLib = "chdb/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"

func firstFile(paths []string) string {
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p
		}
	}
	return ""
}

// namedEngine is the server at addr: host:port, or a URL. Which protocol is spoken
// there is found out by asking.
func namedEngine(ctx context.Context, addr string) *engine {
	e := &engine{addr: addr, close: func() {}}
	if rest, ok := strings.CutPrefix(addr, "http://"); ok {
		e.addr, e.http = strings.TrimSuffix(rest, "/"), true
		return e
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/ping", nil)
	if err != nil {
		return e
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return e
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64))
	e.http = err == nil && strings.HasPrefix(string(body), "Ok.")
	return e
}
