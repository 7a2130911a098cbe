package detector

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

const firstUse = `version: 1
rules:
  - {id: first, type: unseen, sensitivity: normal, action: log}
`

// TestEndpointsNeverSeen: an endpoint that answers for the first time after days is told of
// once, and what is refused is not.
func TestEndpointsNeverSeen(t *testing.T) {
	usual := map[string]answers{"GET /a": {ok: 100}, "GET /b": {ok: 60}, "GET /tried": {denied: 3}}
	run := func(t *testing.T, sensitivity string, days int, first string, x answers) (found []schemas.Verdict) {
		l := newLearnedSite(t, strings.Replace(firstUse, "normal", sensitivity, 1), BaselinesOptions{})
		for range days * 288 {
			for _, v := range l.pass(usual) {
				t.Errorf("before: %s", v.Details)
			}
		}
		also := maps.Clone(usual)
		also[first] = x
		for range 24 {
			found = append(found, l.pass(also)...)
		}
		return found
	}
	found := run(t, "normal", 9, "DELETE /a", answers{ok: 18, denied: 2})
	if len(found) != 2 || found[0].Phase != schemas.PhaseOpen || found[1].Phase != schemas.PhaseClose || found[0].EpisodeID != found[1].EpisodeID {
		t.Fatalf("verdicts %+v, want one that opens and one that closes", found)
	}
	if v := found[0]; v.RuleType != "unseen" || v.Subject != "DELETE /a" || v.Count != 9*288 || *v.Score <= 0.5 ||
		v.Details != "DELETE /a is used for the first time in 8 days: 20 requests in five minutes, 18 of them answered 2xx or 3xx" {
		t.Errorf("%+v", v)
	}
	for _, c := range []struct {
		name, sensitivity string
		days              int
		first             string
		x                 answers
		want              string // in the sentence; "": nothing is found
	}{
		{"high: while it is learned", "high", 2, "DELETE /a", answers{ok: 20}, ""},
		{"while it is learned", "normal", 7, "DELETE /a", answers{ok: 20}, ""},
		{"a scan", "normal", 9, "GET /.env", answers{denied: 50}, ""},
		{"hardly ever", "normal", 9, "GET /c", answers{ok: 3}, ""},
		{"what is known", "high", 4, "GET /b", answers{ok: 61}, ""},
		{"more refused than not", "normal", 9, "POST /admin", answers{ok: 12, denied: 40}, ""},
		{"low: not so many", "low", 9, "DELETE /a", answers{ok: 49}, ""},
		{"low: many", "low", 9, "DELETE /a", answers{ok: 50}, "DELETE /a is used for the first time in 8 days: 50 requests"},
		{"high: one", "high", 4, "DELETE /a", answers{ok: 1}, "DELETE /a is used for the first time in 4 days: one request, answered 2xx or 3xx"},
		{"high: one of many", "high", 4, "DELETE /a", answers{redirects: 1, denied: 20}, "21 requests in five minutes, 1 of them answered"},
		{"high: none", "high", 4, "DELETE /a", answers{denied: 20}, ""},
		{"a door that was tried before", "high", 4, "GET /tried", answers{ok: 1, denied: 2}, "GET /tried is used for the first time in 4 days, after nothing but errors: 3 requests"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := run(t, c.sensitivity, c.days, c.first, c.x)
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("found: %s", found[0].Details)
			case c.want != "" && (len(found) != 2 || !strings.Contains(found[0].Details, c.want)):
				t.Errorf("found %d: %+v, want %q", len(found), found, c.want)
			}
		})
	}
}

// TestForgottenIsNotNew: an endpoint that had to be forgotten for lack of room is not told of
// when it is used again.
func TestForgottenIsNotNew(t *testing.T) {
	l := newLearnedSite(t, strings.Replace(firstUse, "normal", "high", 1), BaselinesOptions{MaxBytes: 1 << 20, Shards: 1})
	usual := map[string]answers{"GET /a": {ok: 10}}
	l.pass(map[string]answers{"GET /seldom": {ok: 1}})
	for range 4 * 288 {
		l.pass(usual)
	}
	for i := range 10 {
		scan := maps.Clone(usual)
		for j := range 300 {
			scan[fmt.Sprint("GET /scan/", i, "/", j)] = answers{denied: 1}
		}
		l.pass(scan)
	}
	if s := &l.b.shards[0]; s.endpoints[endpointID{l.view, "GET /seldom"}] != nil {
		t.Fatal("it is not forgotten, so nothing is shown")
	}
	for range 12 {
		l.pass(usual)
	}
	for _, v := range l.pass(map[string]answers{"GET /a": {ok: 10}, "GET /seldom": {ok: 1}}) {
		t.Errorf("found: %s", v.Details)
	}
}
