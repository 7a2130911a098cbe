package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is the part of libchdb's C interface that is used here. Handles are
// opaque; strings are passed with their lengths, because the variants without end
// at the first NUL byte.
type library struct {
	connect       func(argc int32, argv **byte) unsafe.Pointer
	closeConn     func(conn unsafe.Pointer)
	query         func(conn unsafe.Pointer, query *byte, queryLen uintptr, format *byte, formatLen uintptr) unsafe.Pointer
	destroyResult func(result unsafe.Pointer)
	buffer        func(result unsafe.Pointer) *byte
	length        func(result unsafe.Pointer) uintptr
	rowsWritten   func(result unsafe.Pointer) uint64
	resultError   func(result unsafe.Pointer) *byte
}

func openLibrary(path string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("loading the engine from %s: %w", path, err)
	}
	lib := &library{}
	purego.RegisterLibFunc(&lib.connect, handle, "chdb_connect")
	purego.RegisterLibFunc(&lib.closeConn, handle, "chdb_close_conn")
	purego.RegisterLibFunc(&lib.query, handle, "chdb_query_n")
	purego.RegisterLibFunc(&lib.destroyResult, handle, "chdb_destroy_query_result")
	purego.RegisterLibFunc(&lib.buffer, handle, "chdb_result_buffer")
	purego.RegisterLibFunc(&lib.length, handle, "chdb_result_length")
	purego.RegisterLibFunc(&lib.rowsWritten, handle, "chdb_result_rows_written")
	purego.RegisterLibFunc(&lib.resultError, handle, "chdb_result_error")
	return lib, nil
}

// Engine is one ClickHouse engine on one data directory, with one connection. Its
// statements run one after another, whoever calls.
type Engine struct {
	lib    *library
	handle unsafe.Pointer // what chdb_connect gave: a pointer to the connection

	mu      sync.Mutex
	session session
}

// Result is what a statement gave. Data is in Go's memory.
type Result struct {
	Data        []byte
	RowsWritten uint64
}

// Exception is an error of the engine itself, with ClickHouse's error code.
type Exception struct {
	Code int
	Text string // "Code: 60. DB::Exception: ..."
}

func (e *Exception) Error() string { return e.Text }

// OpenEngine loads the library and opens dir as the engine's data directory. A
// process can do that once, and no two processes on the same directory.
func OpenEngine(libPath, dir string) (*Engine, error) {
	lib, err := openLibrary(libPath)
	if err != nil {
		return nil, err
	}
	args := []*byte{cString("clickhouse"), cString("--path=" + dir)}
	handle := lib.connect(int32(len(args)), &args[0])
	if handle == nil || *(*unsafe.Pointer)(handle) == nil {
		return nil, fmt.Errorf("opening %s as the engine's data directory: refused (is another process using it?)", dir)
	}
	return &Engine{lib: lib, handle: handle, session: session{database: "default", values: map[string]string{}}}, nil
}

// Query runs one statement with s in force and gives its result in format, unless
// the statement has a FORMAT clause. The error is an *Exception where the engine
// refused the statement.
func (e *Engine) Query(s session, statement, format string) (*Result, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.handle == nil {
		return nil, errors.New("running a statement: the engine is closed")
	}
	for _, change := range e.session.changes(s) {
		if _, err := e.run(change.statement, "TSV"); err != nil {
			return nil, err
		}
		change.apply()
	}
	return e.run(statement, format)
}

func (e *Engine) run(statement, format string) (*Result, error) {
	q, f := []byte(statement+" "), []byte(format+"\x00")
	res := e.lib.query(*(*unsafe.Pointer)(e.handle), &q[0], uintptr(len(q)), &f[0], uintptr(len(format)))
	if res == nil {
		return nil, errors.New("running a statement: the engine gave no result")
	}
	defer e.lib.destroyResult(res)
	if msg := goString(e.lib.resultError(res)); msg != "" {
		return nil, newException(msg)
	}
	out := &Result{RowsWritten: e.lib.rowsWritten(res)}
	if n := e.lib.length(res); n > 0 {
		out.Data = append([]byte(nil), unsafe.Slice(e.lib.buffer(res), n)...)
	}
	return out, nil
}

// Close waits for the running statement and closes the data directory.
func (e *Engine) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.handle != nil {
		e.lib.closeConn(e.handle)
		e.handle = nil
	}
}

var exceptionCode = regexp.MustCompile(`Code: (\d+)\.`)

func newException(msg string) *Exception {
	ex := &Exception{Code: 1002, Text: msg} // 1002: UNKNOWN_EXCEPTION
	if m := exceptionCode.FindStringSubmatchIndex(msg); m != nil {
		if code, err := strconv.Atoi(msg[m[2]:m[3]]); err == nil {
			ex.Code, ex.Text = code, msg[m[0]:]
		}
	}
	return ex
}

func cString(s string) *byte {
	b := append([]byte(s), 0)
	return &b[0]
}

func goString(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}
