package dev

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Refuser is a way to a ClickHouse (HTTP) on which inserts can be refused with any
// of its codes, or be slow. Everything else passes.
type Refuser struct {
	Addr string // host:port

	code  atomic.Int32
	all   atomic.Bool // not only inserts
	delay atomic.Int64
	asked atomic.Int64
}

// NewRefuser makes a way to addr. It is closed when the test ends.
func NewRefuser(t testing.TB, addr string) *Refuser {
	t.Helper()
	r := &Refuser{}
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !r.all.Load() && !strings.HasPrefix(q.URL.Query().Get("query"), "INSERT") {
			pass.ServeHTTP(w, q)
			return
		}
		r.asked.Add(1)
		if code := r.code.Load(); code != 0 {
			w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(int(code)))
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, "Code: %d. DB::Exception: refused by the test. (REFUSED)", code)
			return
		}
		select {
		case <-time.After(time.Duration(r.delay.Load())):
			pass.ServeHTTP(w, q)
		case <-q.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	r.Addr = strings.TrimPrefix(server.URL, "http://")
	return r
}

// Refuse has inserts refused with a code, 0: with none.
func (r *Refuser) Refuse(code int32) { r.code.Store(code) }

// RefuseAll has everything refused with a code, 0: with none.
func (r *Refuser) RefuseAll(code int32) {
	r.code.Store(code)
	r.all.Store(code != 0)
}

// Delay has inserts wait before they are done.
func (r *Refuser) Delay(d time.Duration) { r.delay.Store(int64(d)) }

// Asked is how many inserts have come.
func (r *Refuser) Asked() int64 { return r.asked.Load() }
