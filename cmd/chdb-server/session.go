package main

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// session is what a request's URL sets around its statement: the database, the
// settings and the query parameters (as param_NAME). The engine has one connection
// and so one session; each request brings its own, and what a former request set
// is taken back.
type session struct {
	database string
	values   map[string]string
}

// notSettings are URL parameters with a meaning of their own.
var notSettings = map[string]bool{
	"query": true, "database": true, "user": true, "password": true, "default_format": true,
	"client_protocol_version": true, "query_id": true, "quota_key": true, "session_id": true,
	"session_timeout": true, "session_check": true, "compress": true, "decompress": true,
	"buffer_size": true, "wait_end_of_query": true, "role": true,
}

func newSession(params url.Values, database string) session {
	s := session{database: database, values: map[string]string{}}
	if db := params.Get("database"); db != "" {
		s.database = db
	}
	if s.database == "" {
		s.database = "default"
	}
	for name := range params {
		if !notSettings[name] && isIdentifier(name) {
			s.values[name] = params.Get(name)
		}
	}
	return s
}

// change is a statement that brings the session nearer to another, and what to
// note down once the engine has accepted it.
type change struct {
	statement string
	apply     func()
}

// changes lists what turns s into want. Query parameters are only ever set: one
// that is left over does no harm.
func (s *session) changes(want session) []change {
	var list []change
	for _, name := range slices.Sorted(maps.Keys(s.values)) {
		if _, kept := want.values[name]; !kept && !strings.HasPrefix(name, "param_") {
			list = append(list, change{"SET " + name + " = DEFAULT", func() { delete(s.values, name) }})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.values)) {
		value := want.values[name]
		if old, ok := s.values[name]; !ok || old != value {
			list = append(list, change{"SET " + name + " = " + quote(value), func() { s.values[name] = value }})
		}
	}
	if s.database != want.database {
		list = append(list, change{"USE " + quoteIdentifier(want.database), func() { s.database = want.database }})
	}
	return list
}

func isIdentifier(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func quoteIdentifier(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}
