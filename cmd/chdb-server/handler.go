package main

import (
	"bytes"
	"compress/gzip"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
)

// Limits of what a request may hold in memory. Rows of an INSERT go to a file as
// they come and are not limited.
const (
	maxInsertHead = 256 << 10 // where an INSERT's rows must have begun
	maxStatement  = 16 << 20
)

// handler answers ClickHouse's HTTP protocol as far as clickhouse-go and curl
// use it.
type handler struct {
	engine   *Engine
	tempDir  string
	user     string
	password string
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/ping" || r.URL.Path == "/" && r.Method == http.MethodGet && !r.URL.Query().Has("query"):
		answer(w, []byte("Ok.\n"))
		return
	case r.URL.Path != "/":
		http.Error(w, "There is no handle "+r.URL.Path, http.StatusNotFound)
		return
	}
	if err := h.authenticate(r); err != nil {
		writeError(w, err)
		return
	}
	body, err := decodeBody(r)
	if err != nil {
		writeError(w, err)
		return
	}
	res, format, err := h.run(r, body)
	if err != nil {
		writeError(w, err)
		return
	}
	if format == "Native" {
		revision, _ := strconv.ParseUint(r.URL.Query().Get("client_protocol_version"), 10, 64)
		if res.Data, err = reviseNative(res.Data, revision); err != nil {
			writeError(w, err)
			return
		}
	}
	w.Header().Set("X-ClickHouse-Format", format)
	w.Header().Set("X-ClickHouse-Summary", fmt.Sprintf(`{"written_rows":"%d"}`, res.RowsWritten))
	w.Header().Set("Content-Type", contentType(format))
	writeBody(w, r, res.Data)
}

// run executes the request's statement and names the format of its result.
func (h *handler) run(r *http.Request, body io.Reader) (*Result, string, error) {
	params := r.URL.Query()
	format := params.Get("default_format")
	if format == "" {
		format = r.Header.Get("X-ClickHouse-Format")
	}
	if format == "" {
		format = "TabSeparated"
	}
	s := newSession(params, r.Header.Get("X-ClickHouse-Database"))

	text := params.Get("query")
	head, err := io.ReadAll(io.LimitReader(body, maxInsertHead))
	if err != nil {
		return nil, "", fmt.Errorf("reading the request: %w", err)
	}
	if text != "" && len(head) > 0 {
		text += "\n"
	}
	inURL := len(text)
	text += string(head)
	if statement, dataFormat, dataAt, ok := splitInsert(text); ok {
		// The rows begin in the URL, or in the body, and go on to the body's end.
		if dataAt > inURL || inURL == 0 {
			head = head[min(dataAt-inURL, len(head)):]
		} else if rest := strings.TrimSpace(text[dataAt:inURL]); rest != "" {
			head = append([]byte(rest+"\n"), head...)
		}
		res, err := h.engine.insert(s, statement, dataFormat, io.MultiReader(bytes.NewReader(head), body), h.tempDir)
		return res, format, err
	}
	rest, err := io.ReadAll(io.LimitReader(body, maxStatement-maxInsertHead))
	if err != nil {
		return nil, "", fmt.Errorf("reading the request: %w", err)
	}
	text += string(rest)
	if len(text) >= maxStatement {
		return nil, "", &Exception{Code: 229, Text: fmt.Sprintf("Code: 229. DB::Exception: the statement is longer than %d bytes. (QUERY_IS_TOO_LARGE)", maxStatement)}
	}
	if strings.TrimSpace(text) == "" {
		return nil, "", &Exception{Code: 62, Text: "Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)"}
	}
	if m := formatClause.FindStringSubmatch(text); m != nil {
		format = m[1]
	}
	res, err := h.engine.Query(s, text, format)
	return res, format, err
}

var formatClause = regexp.MustCompile(`(?i)\sFORMAT\s+(\w+)\s*;?\s*$`)

// authenticate checks the credentials where the server has any, in each of the
// three places in which a client may send them.
func (h *handler) authenticate(r *http.Request) error {
	if h.user == "" {
		return nil
	}
	user, password := r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	if user == "" {
		if u, p, ok := r.BasicAuth(); ok {
			user, password = u, p
		} else {
			user, password = r.URL.Query().Get("user"), r.URL.Query().Get("password")
		}
	}
	if user == h.user && subtle.ConstantTimeCompare([]byte(password), []byte(h.password)) == 1 {
		return nil
	}
	return &Exception{Code: 516, Text: "Code: 516. DB::Exception: " + user +
		": Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)"}
}

func decodeBody(r *http.Request) (io.Reader, error) {
	var body io.Reader = r.Body
	switch enc := r.Header.Get("Content-Encoding"); enc {
	case "", "identity":
	case "gzip":
		zr, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, fmt.Errorf("reading the request: %w", err)
		}
		body = zr
	default:
		return nil, fmt.Errorf("reading the request: Content-Encoding %q is not supported (gzip is)", enc)
	}
	if r.URL.Query().Get("decompress") == "1" {
		body = blocks{compress.NewReader(body)}
	}
	return body, nil
}

// blocks reads ClickHouse's compressed blocks. Their reader wraps the end of the
// stream, which io.Copy and its kin do not look into.
type blocks struct{ r io.Reader }

func (b blocks) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.EOF
	}
	return n, err
}

func writeBody(w http.ResponseWriter, r *http.Request, data []byte) {
	if r.URL.Query().Get("compress") == "1" && len(data) > 0 {
		zw := compress.NewWriter(compress.LevelZero, compress.LZ4)
		const block = 1 << 20
		for len(data) > 0 {
			n := min(block, len(data))
			if err := zw.Compress(data[:n]); err != nil {
				return
			}
			if _, err := w.Write(zw.Data); err != nil {
				return
			}
			data = data[n:]
		}
		return
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && r.URL.Query().Get("enable_http_compression") == "1" && len(data) > 0 {
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		answer(zw, data)
		_ = zw.Close()
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	answer(w, data)
}

// answer writes to a client. One that has gone away needs no answer.
func answer(w io.Writer, data []byte) {
	_, _ = w.Write(data)
}

// writeError answers as ClickHouse does: its text, its code in a header, and a
// status that goes with it.
func writeError(w http.ResponseWriter, err error) {
	var ex *Exception
	if !errors.As(err, &ex) {
		ex = &Exception{Code: 1002, Text: "Code: 1002. DB::Exception: " + err.Error() + ". (UNKNOWN_EXCEPTION)"}
	}
	w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(ex.Code))
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.WriteHeader(httpStatus(ex.Code))
	answer(w, []byte(strings.TrimRight(ex.Text, "\n")+"\n"))
}

func httpStatus(code int) int {
	switch code {
	case 516: // AUTHENTICATION_FAILED
		return http.StatusForbidden
	case 46, 47, 50, 60, 81, 115: // unknown function, identifier, type, table, database, setting
		return http.StatusNotFound
	case 6, 26, 27, 38, 41, 53, 62: // what cannot be parsed, type mismatch, syntax error
		return http.StatusBadRequest
	case 229:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

func contentType(format string) string {
	switch {
	case format == "Native" || format == "RowBinary" || format == "Parquet" || format == "ArrowStream":
		return "application/octet-stream"
	case strings.HasPrefix(format, "JSONEachRow"):
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(format, "JSON"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(format, "CSV"):
		return "text/csv; charset=UTF-8"
	case strings.HasPrefix(format, "T"):
		return "text/tab-separated-values; charset=UTF-8"
	}
	return "text/plain; charset=UTF-8"
}
