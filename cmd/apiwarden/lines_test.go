package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// readLines gives all lines that a reader of text yields, and their true lengths.
func readLines(t *testing.T, r io.Reader, limit, buffer int) (lines []string, lengths []int) {
	t.Helper()
	l := newLineReader(r, limit)
	if buffer > 0 {
		l.buf = make([]byte, buffer)
	}
	for {
		line, n, err := l.next()
		if errors.Is(err, io.EOF) {
			return lines, lengths
		}
		if err != nil {
			t.Fatal(err)
		}
		lines, lengths = append(lines, string(line)), append(lengths, n)
	}
}

func TestLines(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
		lengths    []int
	}{
		{"empty file", "", nil, nil},
		{"one line end", "\n", []string{""}, []int{0}},
		{"a line end at the end is no line", "a\nb\n", []string{"a", "b"}, []int{1, 1}},
		{"no line end at the end", "a\nb", []string{"a", "b"}, []int{1, 1}},
		{"empty line in the middle", "a\n\nb\n", []string{"a", "", "b"}, []int{1, 0, 1}},
		{"CR LF", "a\r\nb\r\n\r\nc\r", []string{"a", "b", "", "c"}, []int{1, 1, 0, 1}},
		{"CR inside stays", "a\rb\n", []string{"a\rb"}, []int{3}},
		{"at the limit", "12345678\nx\n", []string{"12345678", "x"}, []int{8, 1}},
		{"over the limit", "123456789\nx\n", []string{"12345678", "x"}, []int{9, 1}},
		{"far over the limit", strings.Repeat("y", 1000) + "\nx", []string{"yyyyyyyy", "x"}, []int{1000, 1}},
		{"far over the limit at the end", "x\r\n" + strings.Repeat("y", 1000), []string{"x", "yyyyyyyy"}, []int{1, 1000}},
		{"far over with CR LF", strings.Repeat("y", 1000) + "\r\nx", []string{"yyyyyyyy", "x"}, []int{1000, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"whole":     strings.NewReader(c.text),
				"bytewise":  iotest.OneByteReader(strings.NewReader(c.text)),
				"early EOF": iotest.DataErrReader(strings.NewReader(c.text)),
			} {
				lines, lengths := readLines(t, r, 8, 12)
				if d := cmp.Diff(c.want, lines); d != "" {
					t.Errorf("%s: lines (-want +got):\n%s", name, d)
				}
				if d := cmp.Diff(c.lengths, lengths); d != "" {
					t.Errorf("%s: lengths (-want +got):\n%s", name, d)
				}
			}
		})
	}
}

func TestLinesAgreeWithSplit(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var text []byte
		for range rnd.IntN(40) {
			text = append(text, bytes.Repeat([]byte{'a' + byte(rnd.IntN(26))}, rnd.IntN(60))...)
			text = append(text, "\r\n"[rnd.IntN(2):]...)
		}
		lines, _ := readLines(t, iotest.HalfReader(bytes.NewReader(text)), 64, 66)
		want := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
		want = want[:len(want)-1]
		if d := cmp.Diff(want, lines); len(want) > 0 && d != "" {
			t.Fatalf("%q (-want +got):\n%s", text, d)
		}
	}
}

// Lines that are in the buffer can be had together, and only those.
func TestLinesBuffered(t *testing.T) {
	text := "a\r\nbb\n" + strings.Repeat("c", 20) + "\n\ndd\nee"
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(text), "bytewise": iotest.OneByteReader(strings.NewReader(text)), "halves": iotest.HalfReader(strings.NewReader(text)),
	} {
		l := newLineReader(r, 8)
		l.buf = make([]byte, 12)
		var got []string
		var lengths []int
		for {
			line, n, err := l.next()
			if errors.Is(err, io.EOF) {
				break
			}
			batch, to := [][]byte{line}, l.to
			lengths = append(lengths, n)
			for line, n, ok := l.buffered(); ok; line, n, ok = l.buffered() {
				batch, lengths = append(batch, line), append(lengths, n)
			}
			if l.to != to {
				t.Fatalf("%s: buffered has read", name)
			}
			got = append(got, strings.Split(string(bytes.Join(batch, []byte{'\n'})), "\n")...)
		}
		if d := cmp.Diff([]string{"a", "bb", "cccccccc", "", "dd", "ee"}, got); d != "" {
			t.Errorf("%s: lines (-want +got):\n%s", name, d)
		}
		if d := cmp.Diff([]int{1, 2, 20, 0, 2, 2}, lengths); d != "" {
			t.Errorf("%s: lengths (-want +got):\n%s", name, d)
		}
	}
}

func TestLinesReportReadError(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(errors.New("disk gone")))
	l := newLineReader(broken, 8)
	if line, _, err := l.next(); err != nil || string(line) != "a" {
		t.Fatalf("first line: %q, %v", line, err)
	}
	if _, _, err := l.next(); err == nil || err.Error() != "disk gone" {
		t.Fatalf("error of the disk: got %v", err)
	}
}

func TestLinesDoNotAllocate(t *testing.T) {
	text := strings.Repeat(strings.Repeat("x", 300)+"\n", 10000)
	r := strings.NewReader(text)
	l := newLineReader(r, 1<<20)
	got := testing.AllocsPerRun(5, func() {
		r.Reset(text)
		l.err = nil
		for {
			if _, _, err := l.next(); err != nil {
				break
			}
		}
	})
	if got > 1 {
		t.Errorf("%v allocations for 10,000 lines", got)
	}
}
