//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// patientReader makes reads of r end when ctx does. A blocked read of a terminal or
// pipe cannot be called off, so it asks first whether there is something to read.
func patientReader(ctx context.Context, r io.Reader) io.Reader {
	if f, ok := r.(*os.File); ok {
		return &polledFile{ctx: ctx, f: f}
	}
	return r
}

type polledFile struct {
	ctx context.Context
	f   *os.File
}

func (p *polledFile) Read(b []byte) (int, error) {
	const patience = 100 // ms between looks at ctx
	for {
		if err := p.ctx.Err(); err != nil {
			return 0, err
		}
		fds := []unix.PollFd{{Fd: int32(p.f.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, patience)
		switch {
		case errors.Is(err, unix.EINTR), err == nil && n == 0:
			continue
		case err != nil:
			return 0, fmt.Errorf("waiting for input: %w", err)
		}
		return p.f.Read(b)
	}
}
