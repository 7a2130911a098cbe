package main

import (
	"bytes"
	"errors"
	"io"
)

// readAhead is how much a lineReader asks of its source at a time, at least.
const readAhead = 256 << 10

// lineReader reads lines of any length without allocating per line and without
// holding more than limit bytes of one.
type lineReader struct {
	r     io.Reader
	buf   []byte
	from  int // buf[from:to] is read and not yet handed out
	to    int
	limit int
	err   error // of r, once it has ended
}

// newLineReader reads lines of up to limit bytes from r. Longer ones are cut.
func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{r: r, buf: make([]byte, limit+readAhead), limit: limit}
}

// logLine is a line without its line end. length is its true length; text is cut
// where that is over the limit.
type logLine struct {
	text   []byte
	length int
}

// batch gives the next line, waiting for it if need be, and those behind it that are
// in hand already, as many as dst has room for. They are valid until the following
// call. The end is io.EOF; a line end at the end of the file is not followed by a line.
func (l *lineReader) batch(dst []logLine) (n int, err error) {
	if dst[0].text, dst[0].length, err = l.next(); err != nil {
		return 0, err
	}
	for n = 1; n < len(dst); n++ {
		i := bytes.IndexByte(l.buf[l.from:l.to], '\n')
		if i < 0 {
			break
		}
		text := withoutCR(l.buf[l.from : l.from+i])
		l.from += i + 1
		dst[n] = logLine{text[:min(len(text), l.limit)], len(text)}
	}
	return n, nil
}

// next gives the next line without its line end ("\n" or "\r\n") and its true
// length; the line is cut where that is over the limit. It is valid until the
// following call. The end is io.EOF; a line end at the end of the file is not
// followed by a line.
func (l *lineReader) next() (line []byte, length int, err error) {
	searched := l.from
	for {
		if i := bytes.IndexByte(l.buf[searched:l.to], '\n'); i >= 0 {
			line = withoutCR(l.buf[l.from : searched+i])
			l.from = searched + i + 1
			return l.cut(line)
		}
		searched = l.to
		if l.err != nil {
			line = l.buf[l.from:l.to]
			l.from = l.to
			if len(line) == 0 || !errors.Is(l.err, io.EOF) {
				return nil, 0, l.err
			}
			return l.cut(withoutCR(line))
		}
		if l.from > 0 {
			l.to = copy(l.buf, l.buf[l.from:l.to])
			searched, l.from = l.to, 0
		}
		if l.to == len(l.buf) {
			return l.long()
		}
		l.fill(l.to)
	}
}

// fill reads once into the buffer from at on.
func (l *lineReader) fill(at int) {
	n, err := l.r.Read(l.buf[at:])
	l.to = at + n
	l.err = err
}

// long hands out the beginning of a line that is longer than the buffer and skips
// the rest of it.
func (l *lineReader) long() ([]byte, int, error) {
	head, length := l.buf[:l.limit], l.to
	tail := len(head) // what follows the head in the buffer is free
	last := l.buf[l.to-1]
	for l.err == nil {
		l.fill(tail)
		part := l.buf[tail:l.to]
		if i := bytes.IndexByte(part, '\n'); i >= 0 {
			length += i
			if i > 0 {
				last = part[i-1]
			}
			l.from = tail + i + 1
			if last == '\r' {
				length--
			}
			return head, length, nil
		}
		length += len(part)
		if len(part) > 0 {
			last = part[len(part)-1]
		}
	}
	l.from = l.to
	if !errors.Is(l.err, io.EOF) {
		return nil, 0, l.err
	}
	return head, length, nil
}

func (l *lineReader) cut(line []byte) ([]byte, int, error) {
	return line[:min(len(line), l.limit)], len(line), nil
}

func withoutCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}
