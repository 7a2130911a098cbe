// Command chdb-server is a development tool: the ClickHouse engine (libchdb) in a
// process of its own behind ClickHouse's HTTP protocol, so that tests and the demo
// have a real engine where no ClickHouse server can be installed.
//
//	chdb-server --lib libchdb.so [--path DIR] [--listen 127.0.0.1:0] [--addr-file F]
//
// It speaks what clickhouse-go does over HTTP (Native blocks both ways) and what
// people do with curl:
//
//	curl 'http://127.0.0.1:8123/?query=SELECT+1+FORMAT+JSON'
//	curl 'http://127.0.0.1:8123/?query=INSERT+INTO+t+FORMAT+JSONEachRow' --data-binary @rows.ndjson
//
// Statements run one after another on one connection, results are held in memory,
// and there are no users but one, no sessions, no external tables. It is no
// server for production.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("chdb-server", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		lib          = flags.String("lib", "", "libchdb.so")
		path         = flags.String("path", "", "data directory, made where it is missing; without it a temporary one that goes with the process")
		listen       = flags.String("listen", "127.0.0.1:0", "address to listen on; port 0 picks a free one")
		addrFile     = flags.String("addr-file", "", "file to write the address (host:port) to")
		user         = flags.String("user", "", "the only user; without it everybody may come")
		passwordFile = flags.String("password-file", "", "file with the user's password")
		withParent   = flags.Bool("exit-with-parent", false, "stop when standard input ends")
	)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *lib == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "chdb-server: --lib is needed, and nothing else but flags")
		return 2
	}
	if err := serve(ctx, config{
		lib: *lib, path: *path, listen: *listen, addrFile: *addrFile,
		user: *user, passwordFile: *passwordFile, withParent: *withParent,
	}, stdin, stdout); err != nil {
		fmt.Fprintln(stderr, "chdb-server:", err)
		return 1
	}
	return 0
}

type config struct {
	lib, path, listen, addrFile, user, passwordFile string
	withParent                                      bool
}

// serve runs until ctx ends or, withParent, until stdin does.
func serve(ctx context.Context, cfg config, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cfg.withParent {
		go func() {
			_, _ = io.Copy(io.Discard, stdin) // however it ends, it has ended
			cancel()
		}()
	}
	if cfg.path == "" {
		dir, err := os.MkdirTemp("", "chdb-")
		if err != nil {
			return fmt.Errorf("making a data directory: %w", err)
		}
		defer os.RemoveAll(dir)
		cfg.path = dir
	}
	h := &handler{tempDir: filepath.Join(cfg.path, "inserts"), user: cfg.user}
	if cfg.passwordFile != "" {
		b, err := os.ReadFile(cfg.passwordFile)
		if err != nil {
			return fmt.Errorf("reading the password: %w", err)
		}
		h.password = strings.TrimRight(string(b), "\r\n")
	}
	if err := os.MkdirAll(h.tempDir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	engine, err := OpenEngine(cfg.lib, cfg.path)
	if err != nil {
		return err
	}
	defer engine.Close()
	h.engine = engine

	ln, err := net.Listen("tcp", cfg.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if cfg.addrFile != "" {
		if err := writeWhole(cfg.addrFile, ln.Addr().String()+"\n"); err != nil {
			return fmt.Errorf("writing the address: %w", err)
		}
	}
	fmt.Fprintf(stdout, "listening on http://%s\n", ln.Addr())

	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		grace, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
		err = <-done
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// writeWhole makes file appear with all of its content at once.
func writeWhole(file, content string) error {
	tmp := file + ".new"
	if err := os.WriteFile(tmp, []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}
