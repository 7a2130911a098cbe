package detector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/schemas"
)

const testLimit = 256 << 10

func mustPattern(t testing.TB, text string) *Pattern {
	t.Helper()
	p, err := NewPattern(text, testLimit)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

func withBody(body string) *schemas.Event {
	return &schemas.Event{Status: 200, ResponseBody: []byte(body)}
}

func TestTextAndRegexPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, body string
		want          Seen
	}{
		{"win", `{"winner":1}`, Matched},
		{"win", "lose", Missed},
		{"win", "", Missed},
		{"WIN", "a Window", Matched},
		{"ПОБЕДА", "это победа!", Matched},
		{"победа", "ПОБЕДА", Matched},
		{"Été", "l'ÉTÉ", Matched},
		{"straße", "STRAẞE", Matched},
		{"kilo", "KILO", Matched}, // the Kelvin sign
		{"sea", "ſea", Matched},   // the long s
		{"ΣΊΣΥΦΟΣ", "σίσυφος", Matched},
		{"ȺB", "ⱥb", Matched}, // 2 bytes against 3
		{"Ꙙ", "ꙙ", Matched},   // beyond the table
		{"𐐀", "𐐨", Matched},
		{"naïve", "naive", Missed},
		{"a b", "a  b", Missed},
		{"text:win", "text:win", Matched},
		{"win", "w\xc3in", Missed},
		{"w\xc3", "W\xc3", Matched},
		{"regex:^b", "a\nb", Missed},
		{"regex:b$", "a\nb", Matched},
		{"regex:a$", "a\n", Missed},
		{"regex:a.c", "a\nc", Missed},
		{"regex:GR(ö|ü)n", "grÜN", Matched},
		{"regex:a|b", "B", Matched},
		{"regex:(?-i:A)", "a", Missed},
		{"regex:^$", "", Matched},
		{"regex:status:4[0-9]{2}", "STATUS:404", Matched},
		{"regex: win", "win", Missed},
	} {
		p := mustPattern(t, c.pattern)
		if got := p.Match(withBody(c.body), &Scratch{}); got != c.want {
			t.Errorf("%s on %q: %v, want %v", c.pattern, c.body, got, c.want)
		}
		if got := p.Match(&schemas.Event{}, &Scratch{}); got != NotSeen {
			t.Errorf("%s without body: %v", c.pattern, got)
		}
	}
}

func TestPatternsOverResponseFields(t *testing.T) {
	for _, c := range []struct {
		pattern, fields, body string
		want                  Seen
	}{
		{`{"result":"win"}`, "{ \"result\" :\t\"WIN\"\n}", "", Matched},
		{"q=1&p=<x>", `{"url":"/a?q=1\u0026P=\u003cX\u003e"}`, "", Matched},
		{"победа", `{"r":"\u041f\u043e\u0431\u0435\u0434\u0430"}`, "", Matched},
		{`a\"b\\c\n`, `{"r":"a\u0022b\u005cc\u000a"}`, "", Matched},
		{`a/b`, `{"r":"a\/b"}`, "", Matched},
		{`\u0001`, `{"r":"\u0001"}`, "", Matched},
		{`{"a":{},"b":[1,2.50]}`, `{"a": { }, "b": [ 1 , 2.50 ]}`, "", Matched},
		{"regex:^\\{\"a\":1\\}$", `{ "a": 1 }`, "", Matched},
		{"json:a==1", `{"a":1}`, "", Matched},
		{"json:a==1", `{"b":1}`, "", Missed},
		{"json:a.b==x", `{"a": {"b": "X"} }`, "", Matched},
		// Both: json reads the fields, the others the body.
		{"json:a==1", `{"a":1}`, "oops", Matched},
		{"json:a==1", `{"b":1}`, `{"a":1}`, Missed},
		{"body", `{"a":1}`, "the body", Matched},
		{"regex:a", `{"a":1}`, "xyz", Missed},
	} {
		ev := &schemas.Event{ResponseFields: []byte(c.fields)}
		if c.body != "" {
			ev.ResponseBody = []byte(c.body)
		}
		if got := mustPattern(t, c.pattern).Match(ev, &Scratch{}); got != c.want {
			t.Errorf("%s on %s and %q: %v, want %v", c.pattern, c.fields, c.body, got, c.want)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	for _, c := range []struct {
		pattern, body string
		limit         int
		want          Seen
	}{
		{"needle", strings.Repeat("x", 10) + "needle", 16, Matched},
		{"needle", strings.Repeat("x", 10) + "needle", 15, Missed},
		{"regex:e$", strings.Repeat("x", 10) + "needle", 12, Matched},
		{"regex:needl$", "needle", 5, Matched},
		{"json:a==1", `{"a":1}`, 7, Matched},
		{"json:a==1", `{"a":1}`, 6, Unreadable},
		{"json:a==1", `{"a":1} `, 7, Unreadable},
		// A character is not cut in two.
		{"regex:^a$", "aé", 2, Matched},
		{"regex:^aé$", "aéx", 3, Matched},
		{"regex:^$", "é", 1, Matched},
		{"a", "\xa9\xa9\xa9\xa9a", 4, Missed},
	} {
		p, err := NewPattern(c.pattern, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(withBody(c.body), &Scratch{}); got != c.want {
			t.Errorf("%s on %q cut at %d: %v, want %v", c.pattern, c.body, c.limit, got, c.want)
		}
	}
}

func TestJSONPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, body string
		want          Seen
	}{
		{"json:a.b.c==1", `{"a":{"b":{"c":1}}}`, Matched},
		{"json: a . b == 1 ", `{"a":{"b":1}}`, Matched},
		{"json:first name==x", `{"first name":"x"}`, Matched},
		{"json:k==a>b", `{"k":"a>b"}`, Matched},
		{"json:k>=5", `{"k":5}`, Matched},
		{"json:k=v==1", `{"k=v":1}`, Matched},
		{"json:k!v==1", `{"k!v":1}`, Matched},
		{"json:k===x", `{"k":"=x"}`, Matched},
		{"json:@this.#.a|b==1", `{"@this":{"#":{"a|b":1}}}`, Matched},
		{"json:a.*.?==1", `{"a":{"*":{"?":1}}}`, Matched},
		{`json:a\.b==1`, `{"a\\":{"b":1}}`, Matched},
		{"json:K==1", `{"k":1}`, Missed}, // names have a case
		{"json:é==1", `{"\u00e9":1}`, Matched},
		{"json:k==v", `{"k":"a","k":"v"}`, Matched},
		{"json:k==v", `{"k":"v","k":"a"}`, Missed},
		{"json:k==v", `{"k":"v","\u006b":"a"}`, Missed},
		{"json:k.x==1", `{"k":{"x":1},"k":2}`, Missed},
		{"json:a.1==x", `{"a":["w","x"]}`, Missed},
		{"json:a.1==x", `{"a":{"1":"X"}}`, Matched},
		{"json:[].s==x", ` [ {"s":"y"} , {"s":"X"} ] `, Matched},
		{"json:[]==x", `["y","X"]`, Matched},
		{"json:[][]==1", `[[0],[2,1]]`, Matched},
		{"json:[][]==1", `[1]`, Missed},
		{"json:a[][].b==1", `{"a":[[{"b":0}],[{"b":1}]]}`, Matched},
		{"json:a[].b[].c==1", `{"a":[{"b":[]},{"b":[{"c":0},{"c":1}]}]}`, Matched},
		{"json:a.[].b==1", `{"a":[{"b":1}]}`, Matched},
		{"json:items[]==rare", `{"items":"rare"}`, Missed},
		{"json:items[]==rare", `{"items":[["rare"]]}`, Missed},
		{"json:items[]!=rare", `{"items":["rare","x"]}`, Matched},
		{"json:items[]!=rare", `{"items":["rare"]}`, Missed},
		{"json:items[]!=rare", `{"items":[]}`, Missed},

		{"json:a==true", `{"a":true}`, Matched},
		{"json:a==TRUE", `{"a":true}`, Matched},
		{"json:a==true", `{"a":"True"}`, Matched},
		{"json:a==true", `{"a":1}`, Missed},
		{"json:a==false", `{"a":null}`, Missed},
		{"json:a==0", `{"a":false}`, Missed},
		{"json:a==null", `{"a":null}`, Matched},
		{"json:a==None", `{"a":null}`, Matched},
		{"json:a==null", `{"a":""}`, Missed},
		{"json:a==none", `{"a":"none"}`, Matched},
		{"json:a!=null", `{"a":null}`, Missed},
		{"json:a!=null", `{}`, Missed},
		{"json:a!=null", `{"a":0}`, Matched},
		{"json:a!=null", `{"a":{"code":5}}`, Matched},
		{"json:a!=null", `{"a":[]}`, Matched},
		{"json:a==x", `{"a":{"x":1}}`, Missed},
		{"json:a==", `{"a":""}`, Matched},
		{"json:a==''", `{"a":""}`, Matched},
		{"json:a==' x '", `{"a":" x "}`, Matched},
		{`json:a=="x"`, `{"a":"X"}`, Matched},
		{`json:a==x"`, `{"a":"x\""}`, Matched},
		{"json:a==ÉTÉ", `{"a":"\u00e9t\u00e9"}`, Matched},
		{"json:a==😀", `{"a":"\ud83d\ude00"}`, Matched},
		{"json:a==\ufffdA", `{"a":"\ud83d\u0041"}`, Matched},
		{"json:a==\ufffd\ufffd", `{"a":"\ude00\ud83d"}`, Matched},

		{"json:n==1", `{"n":1.0}`, Matched},
		{"json:n==1", `{"n":"1"}`, Matched},
		{"json:n==1", `{"n":10e-1}`, Matched},
		{"json:n==1", `{"n":0.1e1}`, Matched},
		{"json:n==1", `{"n":"1.00"}`, Matched},
		{"json:n==1", `{"n":"01"}`, Missed},
		{"json:n==1", `{"n":" 1"}`, Missed},
		{"json:n==1", `{"n":"+1"}`, Missed},
		{"json:n==1.0", `{"n":1}`, Matched},
		{`json:n=="1.0"`, `{"n":1}`, Matched},
		{"json:n==0", `{"n":-0.0e5}`, Matched},
		{"json:n==-0", `{"n":0}`, Matched},
		{"json:n==1000000", `{"n":1e6}`, Matched},
		{"json:n==1e6", `{"n":1000000}`, Matched},
		{"json:n==12345678901234567890", `{"n":12345678901234567891}`, Missed},
		{"json:n==12345678901234567890", `{"n":"12345678901234567890"}`, Matched},
		{"json:n>12345678901234567890", `{"n":12345678901234567891}`, Matched},
		{"json:n>12345678901234567890", `{"n":12345678901234567890}`, Missed},
		{"json:n<-12345678901234567890", `{"n":-12345678901234567891}`, Matched},
		{"json:n==1", `{"n":1e999999999}`, Missed},
		{"json:n>1", `{"n":1e999999999}`, Matched},
		{"json:n<1", `{"n":1e-999999999}`, Matched},
		{"json:n>0", `{"n":1e-999999999}`, Matched},
		{"json:n>1", `{"n":1e99999999999999999999999}`, Missed},
		{"json:n==1", `{"n":1e-99999999999999999999999}`, Missed},
		{"json:n>5", `{"n":"6"}`, Matched},
		{"json:n>5", `{"n":"Infinity"}`, Missed},
		{"json:n>5", `{"n":"0x10"}`, Missed},
		{"json:n>5", `{"n":""}`, Missed},
		{"json:n<5", `{"n":true}`, Missed},
		{"json:n<5", `{"n":null}`, Missed},
		{"json:n<5", `{"n":[]}`, Missed},
		{"json:n<5", `{}`, Missed},
		{"json:n>=0.1", `{"n":0.10}`, Matched},
		{"json:n<=-3", `{"n":-3}`, Matched},
		{"json:n>-3", `{"n":-2.5}`, Matched},
		{"json:n!=1", `{"n":"1"}`, Missed},
		{"json:n!=1", `{"n":null}`, Matched},
		{"json:n!=1", `{"n":"x"}`, Matched},
		{"json:n==abc", `{"n":5}`, Missed},

		{"json:k==v", `{"k":"v"} x`, Unreadable},
		{"json:k==v", `{"k":"v"`, Unreadable},
		{"json:k==v", `{"k":"v",}`, Unreadable},
		{"json:k==v", `not json`, Unreadable},
		{"json:k==v", ``, Unreadable},
		{"json:k==v", "\ufeff{\"k\":\"v\"}", Unreadable},
		{"json:k==v", `{'k':'v'}`, Unreadable},
		{"json:k==v", `{"k":"v"}{}`, Unreadable},
		{"json:k==v", `{"k":NaN}`, Unreadable},
		{"json:k==v", "{\"k\":\"v\n\"}", Unreadable},
		{"json:k==v", `{"k":"\x"}`, Unreadable},
		{"json:k==v", `{"k":"\u12"}`, Unreadable},
		{"json:k==v", `{"k":01}`, Unreadable},
		{"json:k==v", `{"k":1.}`, Unreadable},
		{"json:k==v", `[1 2]`, Unreadable},
		{"json:k==v", `{"k"}`, Unreadable},
		{"json:k==v", `"v"`, Missed},
		{"json:k==v", `5`, Missed},
		{"json:k==v", `null`, Missed},
		{"json:k==v", `[{"k":"v"}]`, Missed},
		{"json:k==v", " \t\r\n{ \"k\" : \"v\" } ", Matched},
	} {
		if got := mustPattern(t, c.pattern).Match(withBody(c.body), &Scratch{}); got != c.want {
			t.Errorf("%s on %s: %v, want %v", c.pattern, c.body, got, c.want)
		}
	}
}

func TestAbsurdNestingIsUnreadableWithoutDelay(t *testing.T) {
	p, err := NewPattern("json:a==1", 10<<20)
	if err != nil {
		t.Fatal(err)
	}
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	start := time.Now()
	for body, want := range map[string]Seen{
		deep(1):                        Matched,
		deep(maxJSONDepth):             Missed,
		deep(maxJSONDepth + 1):         Unreadable,
		deep(1_000_000):                Unreadable,
		strings.Repeat("[", 5_000_000): Unreadable,
		strings.Repeat("[{}],", 9):     Unreadable,
		`{"a":` + strings.Repeat("9", 1_000_000) + "}": Missed,
	} {
		if got := p.Match(withBody(body), &Scratch{}); got != want {
			t.Errorf("%.20s... (%d bytes): %v, want %v", body, len(body), got, want)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestStatusPatterns(t *testing.T) {
	for pattern, statuses := range map[string]map[uint16]bool{
		"404":              {404: true, 403: false, 405: false},
		"401,403":          {401: true, 402: false, 403: true},
		" 401 , 403 ":      {401: true, 402: false, 403: true},
		"4xx":              {399: false, 400: true, 499: true, 500: false},
		"4XX,503":          {400: true, 503: true, 500: false},
		">=500":            {499: false, 500: true, 599: true},
		">500":             {500: false, 501: true},
		"<200":             {100: true, 199: true, 200: false},
		"<=200":            {200: true, 201: false},
		"!=200":            {200: false, 201: true, 100: true, 599: true},
		"==200":            {200: true, 201: false},
		">= 500":           {499: false, 500: true},
		"100,599":          {100: true, 599: true, 101: false},
		"200,200":          {200: true},
		"1xx,2xx,3xx,>599": {100: true, 399: true, 400: false},
	} {
		p := mustPattern(t, "status:"+pattern)
		is, ok := p.Status()
		if !ok {
			t.Fatalf("%s is no status pattern", pattern)
		}
		for status, want := range statuses {
			if is(status) != want || (p.Match(&schemas.Event{Status: status}, &Scratch{}) == Matched) != want {
				t.Errorf("%s on %d is %v", pattern, status, !want)
			}
		}
		if is(0) || is(600) || is(65535) {
			t.Errorf("%s accepts what is no status", pattern)
		}
	}
	if _, ok := mustPattern(t, "win").Status(); ok {
		t.Error("text is no status pattern")
	}
}

func TestRefusedPatterns(t *testing.T) {
	for pattern, mention := range map[string]string{
		"":               "empty",
		"  ":             "empty",
		"regex:":         "regex",
		"json:":          "json",
		"status:":        "pattern",
		"status: ":       "pattern",
		"STATUS:200":     "status:",
		"Regex:win":      "regex:",
		"JSON:a==1":      "json:",
		" status:200":    "status:",
		"status:2x":      "2x",
		"status:abc":     "abc",
		"status:404abc":  "404abc",
		"status:40":      "40",
		"status:4040":    "4040",
		"status:600":     "600",
		"status:099":     "099",
		"status:6xx":     "6xx",
		"status:0xx":     "0xx",
		"status:4xxx":    "4xxx",
		"status:x4x":     "x4x",
		"status:401,":    `""`,
		"status:,401":    `""`,
		"status:401 403": "401 403",
		"status:400-404": "400-404",
		"status:>=five":  "five",
		"status:>=":      ">=",
		"status:>=5":     ">=5",
		"status:=>500":   "=>500",
		"status:=200":    "=200",
		"status:>599":    ">599",
		"status:<100":    "<100",
		"status:-200":    "-200",
		"status:+200":    "+200",
		"status:200.0":   "200.0",
		"status:2００":     "2００",
		"json:result":    "operator",
		"json:a=1":       "equal is ==",
		"json:==x":       "path is empty",
		"json: ==x":      "path is empty",
		"json:.a==1":     "empty name",
		"json:a.==1":     "empty name",
		"json:a..b==1":   "empty name",
		"json:.==1":      "empty name",
		"json:a[]b==1":   "dot",
		"json:a[0]==1":   "position",
		"json:a[*].b==1": "position",
		"json:a=>5":      "operators",
		"json:a>abc":     "number",
		"json:a<>5":      "number",
		"json:a>=":       "number",
		"json:a>true":    "number",
		"json:a>0x10":    "number",
		"regex:(":        `position 1: "("`,
		"regex:a(?=b)":   `position 2: "(?="`,
		"regex:[a":       "position 1",
		"regex:a**":      `position 2: "**"`,
		"regex:éa)":      "position 3",
		"regex:x{2000}":  "position 2",
		`regex:\pX`:      `\pX`,
		"regex:a\nb(":    "position 4",
		"regex:(a)(b":    "position 4",
		`regex:[(]\((b`:  "position 6",
	} {
		_, err := NewPattern(pattern, testLimit)
		if err == nil {
			t.Errorf("%q is accepted", pattern)
		} else if !strings.Contains(err.Error(), mention) {
			t.Errorf("%q: %v does not mention %q", pattern, err, mention)
		}
	}
}

// What one rule remembers of an event must not be taken for the next.
func TestScratchForgetsTheEvent(t *testing.T) {
	patterns := []*Pattern{mustPattern(t, "win"), mustPattern(t, "regex:win"), mustPattern(t, "json:a==win")}
	var s Scratch
	for i, c := range []struct {
		ev   *schemas.Event
		want string
	}{
		{withBody(`{"a":"WIN"}`), "[2 2 2]"},
		{withBody(`{"a":"lose"}`), "[1 1 1]"},
		{withBody(`win`), "[2 2 3]"},
		{&schemas.Event{}, "[0 0 0]"},
		{&schemas.Event{ResponseFields: []byte(`{"a" : "win"}`)}, "[2 2 2]"},
		{&schemas.Event{ResponseFields: []byte(`{"a" : "x"}`)}, "[1 1 1]"},
		{withBody(`{"a":"WIN"}`), "[2 2 2]"},
	} {
		s.Reset()
		var got []Seen
		for _, p := range patterns {
			got = append(got, p.Match(c.ev, &s))
		}
		for j := range patterns { // again, from memory
			if p := patterns[len(patterns)-1-j]; p.Match(c.ev, &s) != got[len(got)-1-j] {
				t.Errorf("event %d: %s changes its mind", i, p)
			}
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("event %d: %v, want %s", i, got, c.want)
		}
	}
}

func TestMatchingDoesNotAllocate(t *testing.T) {
	fields := []byte(`{"result":{"outcome":"lose"},"items":[{"price":5},{"price":7}]}`)
	for _, text := range []string{"status:4xx", "win", "победа", "json:items[].price>100", "json:result.outcome==win"} {
		p := mustPattern(t, text)
		for _, ev := range []*schemas.Event{{Status: 200, ResponseBody: fields}, {Status: 200, ResponseFields: fields}} {
			var s Scratch
			if n := testing.AllocsPerRun(100, func() { s.Reset(); p.Match(ev, &s) }); n > 0 {
				t.Errorf("%s allocates %v times", text, n)
			}
		}
	}
}

func BenchmarkPattern(b *testing.B) {
	body := []byte(`{"result":{"outcome":"lose"},"items":[` + strings.Repeat(`{"name":"a thing of beauty","price":5},`, 40) + `{"price":7}]}`)
	for _, text := range []string{"win", "regex:(success|winner|prize)", "json:items[].price>100"} {
		b.Run(text, func(b *testing.B) {
			p := mustPattern(b, text)
			var s Scratch
			ev := &schemas.Event{ResponseBody: body}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				s.Reset()
				p.Match(ev, &s)
			}
		})
	}
}
