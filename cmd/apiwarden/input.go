package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/apiwarden/apiwarden/schemas"
)

// stdinName is how a command's arguments ask for standard input.
const stdinName = "-"

// logInput is a log file that a command reads, or standard input.
type logInput struct {
	io.Reader
	name  string // base name; "stdin" for standard input
	size  int64  // bytes on disk, -1 where that is not known
	raw   *countingReader
	close func() // what was only read needs no look at the error
}

// openLog opens a log file by name, "-" for standard input, whose reads end with
// ctx. A name that ends in .gz is decompressed.
func openLog(ctx context.Context, name string, stdin io.Reader) (*logInput, error) {
	if name == stdinName {
		raw := &countingReader{r: patientReader(ctx, stdin)}
		return &logInput{Reader: raw, name: "stdin", size: -1, raw: raw, close: func() {}}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	raw := &countingReader{r: f}
	in := &logInput{Reader: raw, name: filepath.Base(name), size: -1, raw: raw, close: func() { f.Close() }}
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, errors.Join(fmt.Errorf("opening the log: %w", err), f.Close())
	case info.IsDir():
		return nil, errors.Join(fmt.Errorf("opening the log: %s is a folder, not a file", name), f.Close())
	case info.Mode().IsRegular():
		in.size = info.Size()
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("decompressing %s: %w", name, err), f.Close())
		}
		in.Reader = z
	}
	return in, nil
}

// countingReader counts what was read, for progress.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// tooLarge is what is wrong with a line of length bytes.
func tooLarge(length, limit int) *schemas.BadRecord {
	return &schemas.BadRecord{Reason: schemas.ReasonTooLarge, Detail: fmt.Sprintf("%d bytes, more than %d", length, limit)}
}

// badRecord gives the decoder's error as what it is; nil for nil.
func badRecord(err error) *schemas.BadRecord {
	if err == nil {
		return nil
	}
	if bad, ok := errors.AsType[*schemas.BadRecord](err); ok {
		return bad
	}
	return &schemas.BadRecord{Reason: schemas.ReasonJSON, Detail: err.Error()}
}
