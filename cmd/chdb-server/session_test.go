package main

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSessionChanges(t *testing.T) {
	s := session{database: "default", values: map[string]string{}}
	for _, step := range []struct {
		params string
		want   []string
	}{
		{"query=x&max_threads=4&param_id=it's", []string{"SET max_threads = '4'", `SET param_id = 'it\'s'`}},
		{"max_threads=4&param_id=it's&default_format=Native&client_protocol_version=54460", nil},
		{"database=my db", []string{"SET max_threads = DEFAULT", "USE `my db`"}},
		{"async_insert=0;x", []string{"USE `default`"}},
		{"a-b=1&async_insert=0", []string{"SET async_insert = '0'"}},
	} {
		params, _ := url.ParseQuery(step.params)
		var got []string
		for _, c := range s.changes(newSession(params, "")) {
			got = append(got, c.statement)
			c.apply()
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.params, diff)
		}
	}
}
