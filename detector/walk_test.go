package detector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestIDOfAPath(t *testing.T) {
	for path, want := range map[string]string{
		"/orders/17":                    "17",
		"/orders/17/":                   "17",
		"/orders/17/lines":              "17",
		"/users/4/orders/0017/lines":    "17",
		"/orders/0":                     "0",
		"17":                            "17",
		"/o/9999999999999999999":        "9999999999999999999",
		"/o/3/10000000000000000000":     "3", // 20 digits
		"/orders/-17":                   "",
		"/orders/17.5":                  "",
		"/orders/17.json":               "",
		"/orders/x17":                   "",
		"/v2/orders/%31":                "",
		"/3/orders/2026-01-02":          "3",
		"//":                            "",
		"":                              "",
		"/1//":                          "1",
		"/a/1b3f6e52a0c44f0e8d9a1b2c3d": "",
	} {
		got := ""
		if id, ok := pathID([]byte(path)); ok {
			got = fmt.Sprint(id)
		}
		if got != want {
			t.Errorf("%s: id %q, want %q", path, got, want)
		}
	}
}

// shown is an event of a client with an id, so many seconds after origin.
type shown struct {
	at   int64
	path string
}

// walkFrom gives events a second apart for a path with a verb for the id.
func walkFrom(at int64, path string, ids ...int) (events []shown) {
	for i, id := range ids {
		events = append(events, shown{at + int64(i), fmt.Sprintf(path, id)})
	}
	return events
}

// upTo gives from, from+by and so on, n of them.
func upTo(n, from, by int) (ids []int) {
	for i := range n {
		ids = append(ids, from+i*by)
	}
	return ids
}

func TestWalk(t *testing.T) {
	const rule = "{id: r, type: walk, threshold: 3, window: 60s}"
	with := func(more string) string { return strings.TrimSuffix(rule, "}") + ", " + more + "}" }
	join := slices.Concat[[]shown]
	for name, c := range map[string]struct {
		rule   string
		events []shown
		want   []int // offsets of the verdicts
	}{
		"up":                       {rule, walkFrom(0, "/o/%d", 7, 8, 9, 10, 11, 12), []int{4}},
		"down, over a stretch":     {rule, walkFrom(0, "/o/%d", 66, 65, 64, 63, 62), []int{4}},
		"every step":               {with("emit: every"), walkFrom(0, "/o/%d", 7, 8, 9, 10, 11, 12), []int{4, 5}},
		"two by two":               {rule, walkFrom(0, "/o/%d", 2, 4, 6, 8, 10, 12), nil},
		"two by two allowed":       {with("max_step: 2"), walkFrom(0, "/o/%d", 2, 4, 6, 8, 10), []int{4}},
		"a thousand apart":         {with("max_step: 1000"), walkFrom(0, "/o/%d", 1000, 2000, 3000, 4000, 5000), []int{4}},
		"two workers":              {rule, walkFrom(0, "/o/%d", 1, 901, 2, 902, 3, 903), []int{5}},
		"reading again":            {rule, walkFrom(0, "/o/%d", 1, 2, 1, 2, 1, 2, 1, 2, 2, 2), nil},
		"round and round":          {with("max_step: 2"), walkFrom(0, "/o/%d", slices.Concat(upTo(3, 100, 1), upTo(3, 100, 1), upTo(3, 100, 1))...), nil},
		"from both sides":          {rule, walkFrom(0, "/o/%d", 1, 2, 6, 5, 4, 3), []int{5}},
		"after four others":        {rule, walkFrom(0, "/o/%d", 100, 1000, 2000, 3000, 4000, 101, 102, 103, 104), []int{8}},
		"after five others":        {rule, walkFrom(0, "/o/%d", 100, 1000, 2000, 3000, 4000, 5000, 101, 102, 103), nil},
		"of two endpoints":         {rule, join(walkFrom(0, "/o/%d", 1, 2, 3), walkFrom(3, "/p/%d", 4, 5, 6)), nil},
		"in the middle of a path":  {rule, walkFrom(0, "/o/%d/lines", 7, 8, 9, 10, 11), []int{4}},
		"slower than the window":   {rule, join(walkFrom(0, "/o/%d", 1, 2, 3), walkFrom(62, "/o/%d", 4), walkFrom(63, "/o/%d", 5)), nil},
		"just within the window":   {rule, join(walkFrom(0, "/o/%d", 1), walkFrom(1, "/o/%d", 2, 3), walkFrom(60, "/o/%d", 4, 5)), []int{4}},
		"not quite":                {with("window_edge: half_open"), join(walkFrom(0, "/o/%d", 1), walkFrom(1, "/o/%d", 2, 3), walkFrom(60, "/o/%d", 4, 5)), nil},
		"forgotten":                {with("emit: every"), join(walkFrom(0, "/o/%d", 1, 2, 3, 4), walkFrom(64, "/o/%d", 5, 6, 7, 8)), nil},
		"late events":              {rule, join(walkFrom(20, "/o/%d", 1, 2), walkFrom(10, "/o/%d", 3, 4, 5)), []int{4}},
		"what was late comes last": {rule, join(walkFrom(10, "/o/%d", 1, 3, 5, 7), walkFrom(11, "/o/%d", 2, 4, 6)), nil},
		"under a condition":        {with("when: 'path != \"/o/9\"'"), walkFrom(0, "/o/%d", 7, 8, 9, 10, 11, 12), nil},
		"on one endpoint":          {with("endpoint: 'GET /p/{id}'"), walkFrom(0, "/o/%d", 7, 8, 9, 10, 11, 12), nil},
		// The ban holds for three seconds; then the walk goes on.
		"after a ban":  {with("action: ban, ban_for: 3s"), walkFrom(0, "/o/%d", upTo(12, 1, 1)...), []int{4, 9}},
		"after a rest": {with("action: ban, ban_for: 3s, reset_on_ban: true"), walkFrom(0, "/o/%d", upTo(14, 1, 1)...), []int{4, 12}},
	} {
		t.Run(name, func(t *testing.T) {
			e := NewEngine(mustLoad(t, "version: 1\nrules: ["+c.rule+"]"), Options{Topic: "t", File: true})
			var got []int
			for i, s := range c.events {
				for range observe(e, hit(client(1), origin+s.at*second, s.path), i).verdicts {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("verdicts at %v, want %v", got, c.want)
			}
		})
	}
}

func TestWalkThroughAField(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
rules: [{id: r, type: walk, field: response_fields.id, threshold: 2, window: 1h, group_by: [subject, user_id], max_step: 5}]`), Options{Topic: "t", File: true})
	var got []string
	for i, ev := range []struct{ user, fields string }{
		{"ann", `{"id":100}`}, {"ann", `{"id":"x"}`}, {"ann", `{"id":104}`}, {"bob", `{"id":105}`}, {"ann", `{"id":-105}`},
		{"ann", `{"id":[103]}`}, {"ann", `{}`}, {"ann", `{"id":103.5}`}, {"ann", `{"id":"0103"}`}, {"ann", `{"id":98.0}`},
	} {
		x := hit(client(1), origin+int64(i)*second, "/search/17")
		x.UserID, x.ResponseFields = []byte(ev.user), []byte(ev.fields)
		for _, v := range observe(e, x, i).verdicts {
			got = append(got, fmt.Sprintf("%d %s %s", i, v.Endpoint, v.Details))
		}
	}
	if want := []string{"9 GET /search/{id} 10.0.0.1 walked on 3 times within 1h, to values of response_fields.id next to those it had asked for; 2 steps are allowed"}; !slices.Equal(got, want) {
		t.Errorf("verdicts %q, want %q", got, want)
	}
}

// A client that asks for the same 200 neighbours again and again walks once.
func TestWalkInCirclesEnds(t *testing.T) {
	e := NewEngine(mustLoad(t, "version: 1\nrules: [{id: r, type: walk, threshold: 250, window: 1h}]"), Options{Topic: "t", File: true})
	for i := range 2000 {
		if out := observe(e, hit(client(1), origin+int64(i)*second, fmt.Sprintf("/o/%d", 70+i%200)), i); len(out.verdicts) > 0 {
			t.Fatalf("request %d: %v", i, out.verdicts)
		}
	}
}

// What shows no id has no record, and what shows ids has one of some hundred bytes.
func TestWalkRecords(t *testing.T) {
	e := NewEngine(mustLoad(t, "version: 1\nrules: [{id: r, type: walk, threshold: 60, window: 1h}]"), Options{Topic: "t", File: true})
	for i := range 100 {
		e.Observe(hit(client(i), origin+int64(i)*second, "/about"), Record{Offset: int64(i)})
	}
	if s := e.Stats(); s.Subjects != 0 {
		t.Errorf("%d records of clients that showed no id", s.Subjects)
	}
	for i := range 1000 {
		e.Observe(hit(client(1), origin+int64(100+i)*second, fmt.Sprintf("/o/%d", i*1_000_000)), Record{Offset: int64(100 + i)})
	}
	// Its header, a lane, the trail and the beginning of a log.
	if s := e.Stats(); s.Subjects != 1 || 8*e.arena.live > 8*(recHeader+1+trailWords+8) {
		t.Errorf("%d records and %d bytes of a client that showed 1000 ids and took no step", s.Subjects, 8*e.arena.live)
	}
}

// TestWalkGoesOnElsewhere: steps and trails stay as they are where an engine goes on with
// what another has written, under rules that give them other cells.
func TestWalkGoesOnElsewhere(t *testing.T) {
	const walks = "  - {id: w, type: walk, threshold: 8, window: 1h}\n"
	before := mustLoad(t, "version: 1\nrules:\n"+walks)
	after := mustLoad(t, `version: 1
rules:
  - {id: calls, type: usage, threshold: 1000, window: 1h, group_by: [subject, endpoint]}
  - {id: paths, type: distinct, field: path, threshold: 1000, window: 1h, group_by: [subject, endpoint]}
`+walks)
	for _, through := range []string{"Adopt", "Restore"} {
		e := NewEngine(before, Options{Topic: "t", Shards: 2, Seed: [2]uint64{1, 2}})
		var fired []int
		for i := range 12 {
			if i == 5 {
				if through == "Adopt" {
					e.Adopt(5, after)
				} else {
					e = reborn(t, e, after, 5)
				}
			}
			if out := observe(e, hit(client(1), origin+int64(i)*second, fmt.Sprintf("/o/%d", i)), i); len(out.verdicts) > 0 {
				fired = append(fired, i)
			}
		}
		wantFired(t, through, fired, 9)
	}
}

func BenchmarkWalk(b *testing.B) {
	for _, bm := range []struct {
		name string
		path func(i int) string
	}{
		{"without ids", func(i int) string { return fmt.Sprintf("/api/v1/resource%c%c/detail", 'a'+i%26, 'a'+i/26%12) }},
		{"scattered", func(i int) string { return fmt.Sprintf("/api/v1/resources/%d", i*7919%100_003) }},
		{"again", func(i int) string { return fmt.Sprintf("/api/v1/resources/%d", i%7) }},
		{"walking", func(i int) string { return fmt.Sprintf("/api/v1/resources/%d", i/1000) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			events := benchEvents(1<<13, 1000, 1000)
			for i := range events {
				events[i].Path = []byte(bm.path(i))
			}
			observeAgain(b, "version: 1\nrules:\n  - {id: r, type: walk, threshold: 60, window: 10m}\n", events)
		})
	}
}
