package detector

import (
	"strings"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

const highRate = `version: 1
rules:
  - {id: rate, type: rate, sensitivity: high, action: log}
`

// TestEndpointsNeverSeen: an endpoint that answers for the first time after days is told of
// once, by high sensitivity alone, and what is refused is not.
func TestEndpointsNeverSeen(t *testing.T) {
	run := func(t *testing.T, rules string, days int, first string, x answers) (found []schemas.Verdict) {
		l := newLearnedSite(t, rules, BaselinesOptions{})
		usual := map[string]answers{"GET /a": {ok: 100}, "GET /b": {ok: 60}}
		for range days * 288 {
			for _, v := range l.pass(usual) {
				t.Errorf("before: %s", v.Details)
			}
		}
		usual[first] = x
		for range 24 {
			found = append(found, l.pass(usual)...)
		}
		return found
	}
	found := run(t, highRate, 4, "DELETE /a", answers{ok: 18, denied: 2})
	if len(found) != 2 || found[0].Phase != schemas.PhaseOpen || found[1].Phase != schemas.PhaseClose || found[0].EpisodeID != found[1].EpisodeID {
		t.Fatalf("verdicts %+v, want one that opens and one that closes", found)
	}
	if v := found[0]; v.Subject != "DELETE /a" || v.Count != 4*288 || *v.Score <= 0.5 ||
		v.Details != "DELETE /a is used for the first time in 4 days: 20 requests in five minutes, 18 of them answered 2xx or 3xx" {
		t.Errorf("%+v", v)
	}
	for name, c := range map[string]struct {
		rules string
		days  int
		first string
		x     answers
	}{
		"normal sensitivity":    {strings.Replace(highRate, "high", "normal", 1), 4, "DELETE /a", answers{ok: 20}},
		"while it is learned":   {highRate, 2, "DELETE /a", answers{ok: 20}},
		"a scan":                {highRate, 4, "GET /.env", answers{denied: 50}},
		"hardly ever":           {highRate, 4, "GET /c", answers{ok: 3}},
		"what is known":         {highRate, 4, "GET /b", answers{ok: 61}},
		"more refused than not": {highRate, 4, "POST /admin", answers{ok: 12, denied: 40}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range run(t, c.rules, c.days, c.first, c.x) {
				if strings.Contains(v.Details, "first") {
					t.Errorf("%s", v.Details)
				}
			}
		})
	}
}
