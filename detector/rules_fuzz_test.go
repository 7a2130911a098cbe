package detector

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apiwarden/apiwarden/schemas"
)

// Whatever a rules file holds, it is read or refused with file, line and reason.
func FuzzReadRules(f *testing.F) {
	f.Add([]byte(versionRules))
	f.Add([]byte("version: 1\nrules: &r\n  - *r\n"))
	f.Add([]byte("version: 1\nrules:\n  - {<<: {a: b}, id: [], type: ratio, threshold: 1e999}\n"))
	f.Add([]byte("version: 1\nescalation: {factor: .nan}\nsubject: {ipv6_prefix: 0x7fffffffffffffff}\nrules: []\n---\n---\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := readRules("rules.yaml", text)
		if err == nil {
			for _, r := range set.Rules {
				if len(r.Version) != 12 || r.ID == "" || !r.Learned && r.Window <= 0 {
					t.Errorf("accepted %+v", r)
				}
			}
			return
		}
		refusal, ok := err.(*Refusal)
		if !ok || len(refusal.Problems) == 0 {
			t.Fatalf("error %v", err)
		}
		for _, p := range refusal.Problems {
			if p.File != "rules.yaml" || p.Line < 1 || p.Reason == "" || strings.ContainsAny(p.Reason, "\r\n") {
				t.Errorf("problem %q", p)
			}
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{"win", "ПОБЕДА", "regex:(a+)+$", "regex:(?i)[^x]{2,}", "json:a[].b==1", "json:[][]!=x", "json:n>=-1.5e3", "status:4xx,>=500"} {
		f.Add(pattern, `{"a":[{"b":1}],"n":"1e5"}`)
		f.Add(pattern, "ſ\xff\u212a")
	}
	f.Fuzz(func(t *testing.T, pattern, body string) {
		const limit = 64
		p, err := NewPattern(pattern, limit)
		if err != nil {
			return
		}
		for _, ev := range []*schemas.Event{
			{Status: 404, ResponseBody: []byte(body)},
			{Status: 599, ResponseFields: []byte(body)},
		} {
			var s Scratch
			first := p.Match(ev, &s)
			if again := p.Match(ev, &s); again != first {
				t.Errorf("%v, then %v", first, again)
			}
		}
	})
}

// validJSON agrees with encoding/json, but for what is not UTF-8, which neither
// looks at, and for depth.
func FuzzValidJSON(f *testing.F) {
	for _, text := range []string{`{"a":[1,-2.5e+3,true,null,"\u00e9"],"b":{}}`, `[`, `[1,]`, `{"a":1,}`, `01`, "\"\x01\"", ` {} `, `nul`, `"\ud800"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		valid := validJSON(text)
		if want := json.Valid(text); valid != want {
			t.Fatalf("%q valid: %v, want %v", text, valid, want)
		}
		if !valid {
			return
		}
		if end := skipValue(text, skipBlanks(text, 0)); len(bytes.TrimLeft(text[end:], " \t\r\n")) > 0 {
			t.Errorf("%q ends at %d", text, end)
		}
		compact, _ := compactJSON(nil, nil, text)
		if !json.Valid(compact) {
			t.Errorf("%q becomes %q", text, compact)
		}
		if again, _ := compactJSON(nil, nil, compact); !bytes.Equal(again, compact) {
			t.Errorf("%q becomes %q, then %q", text, compact, again)
		}
		var a, b any
		if json.Unmarshal(text, &a) != nil || json.Unmarshal(compact, &b) != nil {
			return // a number that is too large
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if utf8.Valid(text) && !bytes.Equal(x, y) {
			t.Errorf("%q means %s, compact %q means %s", text, x, compact, y)
		}
	})
}

func FuzzCondition(f *testing.F) {
	for _, c := range whenCases {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 200 {
			return
		}
		cond, err := NewCondition(text)
		if err != nil {
			return
		}
		var s Scratch
		for _, ev := range []*schemas.Event{whenEvent(), {}} {
			s.Reset()
			if says := cond.run(ev, &s); cond.True(ev, &s) != says {
				t.Errorf("%s is %v, the machine says %v", text, !says, says)
			}
		}
	})
}

func FuzzFold(f *testing.F) {
	f.Add("/users/17/orders/550e8400-e29b-41d4-a716-446655440000", "GET /users/17/{x}")
	f.Fuzz(func(t *testing.T, path, endpoint string) {
		var patterns []EndpointPattern
		if p, err := ParseEndpoint(endpoint); err == nil {
			patterns = append(patterns, p)
		}
		ts := NewTemplates(patterns, nil)
		folder := NewFolder(patterns, ts)
		once := folder.Fold(nil, []byte(path))
		if strings.Count(string(once), "/") != strings.Count(path, "/") {
			t.Errorf("%q folds to %q", path, once)
		}
		for i := range patterns {
			method := []byte("GET")
			_, mapped := ts.Map(nil, method, []byte(path))
			if mapped != patterns[i].Match(method, []byte(path), false) && strings.HasPrefix(path, "/") {
				t.Errorf("%s maps %q: %v", endpoint, path, mapped)
			}
			if mapped && !patterns[i].Match(method, once, false) && !strings.Contains(endpoint, "}") {
				t.Errorf("%s matches %q and not folded %q", endpoint, path, once)
			}
		}
	})
}
