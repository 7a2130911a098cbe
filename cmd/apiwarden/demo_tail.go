package main

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// tail is a writer that keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
	at  time.Time // of the last write
}

const tailSize = 16 << 10

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = time.Now()
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - tailSize; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(b), nil
}

// recent is the last line, if it was written less than age ago.
func (t *tail) recent(age time.Duration) string {
	t.mu.Lock()
	fresh := time.Since(t.at) < age
	t.mu.Unlock()
	if !fresh {
		return ""
	}
	return t.last()
}

// last is the last line.
func (t *tail) last() string {
	all := t.String()
	return all[strings.LastIndexByte(all, '\n')+1:]
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
