package detector

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// whenEvent is an event with some fields and without others (user_id, peer_ip,
// request_bytes, service).
func whenEvent() *schemas.Event {
	return &schemas.Event{
		ClientIP:       netip.MustParseAddr("192.0.2.7"),
		Method:         []byte("GET"),
		Path:           []byte("/api/users/17"),
		Status:         404,
		Time:           1767225600_000000,
		HasTime:        true,
		LatencyMS:      []byte("12.5"),
		ResponseBytes:  []byte("2048"),
		UserAgent:      []byte("sqlmap/1.7"),
		Query:          []byte(""),
		ResponseFields: []byte(`{"user":{"level":60,"name":"Ann"},"items":[{"type":"rare"},{"type":"common"}],"none":null,"n":[1,2,3]}`),
		Extra: []schemas.Member{
			{Key: []byte("is_bot"), Value: []byte("true")},
			{Key: []byte("country"), Value: []byte(`"DE"`)},
			{Key: []byte("score"), Value: []byte("7")},
			{Key: []byte("odd-name"), Value: []byte(`"x"`)},
			{Key: []byte("geo"), Value: []byte(`{"asn":64500}`)},
			{Key: []byte("empty"), Value: []byte("null")},
			{Key: []byte("twice"), Value: []byte("1")},
			{Key: []byte("twice"), Value: []byte("2")},
		},
	}
}

var whenCases = []struct {
	text string
	want bool
}{
	{`status == 404`, true},
	{`status != 404`, false},
	{`status in [401, 404]`, true},
	{`status not in [401, 404]`, false},
	{`status in 400..499`, true},
	{`status in 500..599`, false},
	{`latency_ms > 12`, true},
	{`latency_ms >= 12.5 and latency_ms <= 12.5`, true},
	{`response_bytes == 2048`, true},
	{`response_bytes * 2 > 4000`, true},
	{`method == "GET" && path startsWith "/api/"`, true},
	{`path endsWith "17"`, true},
	{`path matches "^/api/users/[0-9]+$"`, true},
	{`path matches "^/API"`, false},
	{`user_agent contains "sqlmap"`, true},
	{`lower(method) == "get"`, true},
	{`len(path) == 13`, true},
	{`len(user_agent) > 100`, false},
	{`len(user_id) >= 0`, false},
	{`4 <= len(country) or 2 == len(country)`, true},
	{`len(query) > 2048 or len(query) == 0`, true},
	{`client_ip == "192.0.2.7"`, true},
	{`not blocked`, true},
	{`blocked`, false},
	{`query == ""`, true},
	{`timestamp startsWith "2026-01-01T00:00:00"`, true},
	{`path[0:4] == "/api"`, true},

	// Fields that the schema does not know.
	{`is_bot`, true},
	{`is_bot and status == 404`, true},
	{`is_bot == true`, true},
	{`country == "DE"`, true},
	{`country in ["DE", "FR"]`, true},
	{`score > 5`, true},
	{`score + 1 == 8`, true},
	{`-score == -7`, true},
	{`+score == 7`, true},
	{`score % 4 == 3`, true},
	{`score / 2 == 3.5`, true},
	{`score ** 2 == 49`, true},
	{`$env["odd-name"] == "x"`, true},
	{`geo.asn == 64500`, true},
	{`geo["asn"] == 64500`, true},
	{`"asn" in geo`, true},
	{`"as" in geo`, false},
	{`twice == 2`, true},

	// response_fields.
	{`response_fields.user.level > 3`, true},
	{`response_fields.user.name == "Ann"`, true},
	{`response_fields.items[0].type == "rare"`, true},
	{`response_fields.items[-1].type == "common"`, true},
	{`any(response_fields.items, .type == "rare")`, true},
	{`all(response_fields.items, .type == "rare")`, false},
	{`count(response_fields.items, .type == "rare") == 1`, true},
	{`len(response_fields.items) == 2`, true},
	{`sum(response_fields.n) == 6`, true},
	{`2 in response_fields.n`, true},
	{`response_fields.n == [1, 2, 3]`, true},
	{`filter(response_fields.n, # > 1)[0] == 2`, true},
	{`max(response_fields.n) == 3`, true},
	{`response_fields?.user?.level == 60`, true},

	// Missing: every comparison is false, and not negates that.
	{`user_id == "x"`, false},
	{`user_id != "x"`, false},
	{`not (user_id == "x")`, true},
	{`not (user_id != "x")`, true},
	{`user_id < "x"`, false},
	{`user_id >= "x"`, false},
	{`user_id in ["a", "b"]`, false},
	{`user_id not in ["a", "b"]`, true},
	{`user_id contains "x"`, false},
	{`not (user_id contains "x")`, true},
	{`user_id matches "."`, false},
	{`user_id startsWith "x"`, false},
	{`user_id endsWith "x"`, false},
	{`user_id == nil`, false},
	{`user_id != nil`, false},
	{`not (user_id != nil)`, true},
	{`user_agent == nil`, false},
	{`nil != country`, true},
	{`response_fields.user.level != nil`, true},
	{`response_fields.user.rank != nil`, false},
	{`user_id == service`, false},
	{`user_agent != nil`, true},
	{`request_bytes > 5`, false},
	{`request_bytes * 2 > 5`, false},
	{`not (request_bytes * 2 > 5)`, true},
	{`-request_bytes < 0`, false},
	{`user_id == "x" or method == "GET"`, true},
	{`method == "POST" or user_id == "x"`, false},
	{`unheard`, false},
	{`not unheard`, true},
	{`!unheard`, true},
	{`unheard or status == 404`, true},
	{`unheard and status == 404`, false},
	{`unheard == 1 or unheard.of.it > 2 or unheard[0].x == 1`, false},
	{`unheard != 1`, false},
	{`response_fields.user.rank > 3`, false},
	{`response_fields.nobody.level > 3`, false},
	{`not (response_fields.nobody.level > 3)`, true},
	{`response_fields.none == nil`, false},
	{`empty == nil`, false},
	{`response_fields.items[7].type == "rare"`, false},
	{`any(response_fields.nothing, .type == "rare")`, false},
	{`all(response_fields.nothing, .type == "rare")`, false},
	{`none(response_fields.nothing, .type == "rare")`, true},
	{`count(response_fields.nothing, true) == 0`, true},
	{`len(user_id) > 0`, false},
	{`len(user_id) == 0`, false},
	{`lower(user_id) == "x"`, false},
	{`not (lower(user_id) == "x")`, true},
	{`user_id[0:2] == "ab"`, false},
	{`(user_id ?? "guest") == "guest"`, true},
	{`unheard ? status == 1 : status == 404`, true},
	{`hasPrefix(user_id, "x") or status == 404`, true},
	{`let u = user_id; u == "x" or status == 404`, true},
	{`let n = score; n > 5`, true},

	// Things of different types have no order and are not equal.
	{`country > 5`, false},
	{`country == 5`, false},
	{`country != 5`, true},
	{`score == "7"`, false},
	{`score contains "7"`, false},
	{`is_bot > 1`, false},
	{`country + 1 == 2`, false},
	{`country * 2 > 1`, false},
	{`int(country) == 5`, false},
	{`score % 0 == 0`, false},
	{`score`, false},
	{`score or status == 404`, true},
	{`404 == status and 400 <= status and not (405 <= status)`, true},
	{`response_fields.user == 5`, false},
	{`response_fields.user != 5`, true},
	{`response_fields.user > 5`, false},
	{`score in [7.0]`, true},
	{`score in ["7"]`, false},
	{`latency_ms in [12.5, "x", true]`, true},
	{`latency_ms in 10..20`, false},
	{`score in 1..7`, true},
	{`is_bot in [true]`, true},
	{`is_bot != false`, true},
	{`is_bot == 1`, false},
	{`score > -3`, true},
	{`score == 7.0`, true},
	{`"a" in country`, false},
}

func TestCondition(t *testing.T) {
	var s Scratch
	for _, c := range whenCases {
		cond, err := NewCondition(c.text)
		if err != nil {
			t.Errorf("%s: refused: %v", c.text, err)
			continue
		}
		ev := whenEvent()
		s.Reset()
		if got := cond.True(ev, &s); got != c.want {
			t.Errorf("%s = %v, want %v", c.text, got, c.want)
		}
	}
}

// The plain test of a condition says what the virtual machine says.
func TestPlainConditionsAgreeWithTheMachine(t *testing.T) {
	var s Scratch
	plain := 0
	for _, c := range whenCases {
		cond, err := NewCondition(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if cond.plain == nil {
			continue
		}
		plain++
		for _, ev := range []*schemas.Event{whenEvent(), {}} {
			s.Reset()
			if got, want := cond.plain(ev, &s), cond.run(ev, &s); got != want {
				t.Errorf("%s: %v, the machine says %v", c.text, got, want)
			}
		}
	}
	if plain < len(whenCases)/2 {
		t.Errorf("only %d of %d conditions are plain", plain, len(whenCases))
	}
}

func TestPlainConditionsDoNotAllocate(t *testing.T) {
	ev := whenEvent()
	for _, text := range []string{
		`status == 404`, `method == "POST" or user_agent contains "curl"`, `path in ["/a", "/b"] or path matches "^/x"`,
		`latency_ms > 100 and not blocked`, `response_fields.user.level < 3`, `country in ["FR"]`, `client_ip startsWith "10."`, `user_id != "x"`,
		`user_id != nil or nil != api_key_id`, `len(query) > 2048`,
	} {
		cond, err := NewCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		var s Scratch
		if n := testing.AllocsPerRun(100, func() { s.Reset(); cond.True(ev, &s) }); n > 0 {
			t.Errorf("%s allocates %v times", text, n)
		}
	}
}

func TestConditionRefused(t *testing.T) {
	for _, c := range []struct{ text, mention string }{
		{"", "empty"},
		{"  ", "empty"},
		{"status >= ", "character"},
		{"status", "bool"},
		{"path", "bool"},
		{"latency_ms + 1", "bool"},
		{"404", "bool"},
		{`"x"`, "bool"},
		{"false", "never true"},
		{"1 == 2", "never true"},
		{"nil == nil", "never true"},
		{`status == "404"`, "mismatched"},
		{`method > 5`, "mismatched"},
		{"foo(path)", "foo is no function"},
		{"foo(path) == 1", "foo is no function"},
		{"path.size() == 1", ""},
		{"response_fields.user.size() == 1", "no function"},
		{"now() > 5", "now"},
		{`keys(geo)[0] == "asn"`, "keys"},
		{`date("2026-01-01").Year() == 2026`, ""},
		{"path matches user_agent", "quotes"},
		{`path matches "("`, "("},
		{"$env", ""},
		{"len(status) == 1", "len"},
		{"status == 404 and", ""},
		{"status = 404", ""},
		{strings.Repeat("(", 100_000), ""},
		{strings.Repeat("not ", 20_000) + "blocked", ""},
	} {
		_, err := NewCondition(c.text)
		if err == nil {
			t.Errorf("%.60q is accepted", c.text)
		} else if !strings.Contains(err.Error(), c.mention) {
			t.Errorf("%.60q: %v does not mention %q", c.text, err, c.mention)
		}
	}
}

func TestConditionNamesUnknownFields(t *testing.T) {
	cond, err := NewCondition(`latency > 5 and status == 200 and country == "DE"`)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(cond.unknownFields(), " "); got != "country latency" {
		t.Errorf("unknown fields %q", got)
	}
}

func BenchmarkCondition(b *testing.B) {
	for _, text := range []string{`status == 404`, `method == "POST" and status >= 400`, `user_agent contains "curl"`, `response_fields.user.level > 3`} {
		b.Run(text, func(b *testing.B) {
			cond, err := NewCondition(text)
			if err != nil {
				b.Fatal(err)
			}
			ev := whenEvent()
			var s Scratch
			b.ReportAllocs()
			for b.Loop() {
				s.Reset()
				cond.True(ev, &s)
			}
		})
	}
}
