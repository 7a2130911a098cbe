package detector

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

// oracle is the semantics written down as simply as possible: it forgets nothing,
// shares nothing, and looks at every event again for each one that comes.
type oracle struct {
	lateness int64
	rules    []oracleRule
	newest   int64
	started  bool
	bans     map[string][]interval
	counters map[string]*oracleCounter
}

type oracleRule struct {
	id, kind           string // usage, distinct, ratio, match, walk
	notFound           bool   // only events with status 404 count (match)
	threshold          int
	share              float64
	minVolume          int
	maxStep            int
	window             int64
	halfOpen, every    bool
	ban                bool
	banFor             int64
	reset, perEndpoint bool
}

type oracleEvent struct {
	time    int64
	subject string
	path    string // without the id
	id      int    // 0: none
	status  int
}

// whole gives the event's path with the id.
func (e oracleEvent) whole() string {
	if e.id == 0 {
		return e.path
	}
	return fmt.Sprintf("%s/%d", e.path, e.id)
}

// endpoint tells the event's endpoint from others.
func (e oracleEvent) endpoint() string {
	if e.id == 0 {
		return e.path
	}
	return e.path + "/{id}"
}

type oracleCounter struct {
	events []oracleEvent
	edge   edge
	fired  []int64
	banned []bool
	walked []oracleStretch // the one that an id was shown of last in front
	shown  int64           // the newest time of an id
}

// oracleStretch is 64 ids, and which of them were shown.
type oracleStretch struct {
	number int
	shown  map[int]bool
}

type oracleVerdict struct {
	rule   string
	offset int
	count  int
}

func (o *oracle) observe(offset int, e oracleEvent) []oracleVerdict {
	if !o.started || e.time > o.newest {
		o.newest, o.started = e.time, true
	}
	if e.time < o.newest-o.lateness {
		return nil
	}
	for _, b := range o.bans[e.subject] {
		if b.from <= e.time && e.time <= b.until {
			return nil
		}
	}
	var out []oracleVerdict
	var fired []oracleRule
	for _, r := range o.rules {
		key := r.id + "|" + e.subject
		if r.perEndpoint || r.kind == "walk" {
			key += "|" + e.endpoint()
		}
		c := o.counters[key]
		if c == nil {
			c = &oracleCounter{}
			o.counters[key] = c
		}
		if count, ok := r.judge(c, e); ok {
			out = append(out, oracleVerdict{r.id, offset, count})
			if r.ban {
				fired = append(fired, r)
				c.edge = pending
				if n := len(c.banned); n > 0 {
					c.banned[n-1] = true
				}
			}
		}
	}
	for _, r := range fired {
		o.bans[e.subject] = append(o.bans[e.subject], interval{e.time, e.time + r.banFor})
		if !r.reset {
			continue
		}
		for key, c := range o.counters {
			if strings.HasPrefix(key, r.id+"|"+e.subject+"|") || key == r.id+"|"+e.subject {
				*c = oracleCounter{}
			}
		}
	}
	return out
}

func (r oracleRule) within(from, to int64) bool { // from lies in the window that ends at to
	if from > to {
		return false
	}
	if r.halfOpen {
		return to-from < r.window
	}
	return to-from <= r.window
}

func (r oracleRule) judge(c *oracleCounter, e oracleEvent) (int, bool) {
	matches := !r.notFound || e.status == 404
	if r.kind == "match" {
		if !matches {
			return 0, false
		}
		if !r.every {
			for i, at := range c.fired {
				if at < e.time && c.banned[i] {
					continue
				}
				if i == r.newestFired(c) && (r.within(at, e.time) || r.within(e.time, at)) {
					return 0, false
				}
			}
		}
		c.fired, c.banned = append(c.fired, e.time), append(c.banned, false)
		return 1, true
	}
	if r.kind != "ratio" && !matches {
		return 0, false
	}
	if r.kind == "walk" && (e.id == 0 || !r.isStep(c, e)) {
		return 0, false
	}
	inOrder := true
	for _, x := range c.events {
		inOrder = inOrder && e.time >= x.time
	}
	c.events = append(c.events, e)
	found, over := 0, false
	if r.kind == "ratio" {
		seen := 0
		for _, x := range c.events {
			if r.within(x.time, e.time) {
				seen++
				if x.status == 404 {
					found++
				}
			}
		}
		if inOrder && seen == 1 {
			c.edge = armed
		}
		over = seen >= r.minVolume && float64(found) > r.share*float64(seen)+1e-9
	} else {
		for _, end := range c.events {
			if !r.within(e.time, end.time) {
				continue
			}
			n, values := 0, map[string]bool{}
			for _, x := range c.events {
				if r.within(x.time, end.time) {
					n++
					values[x.whole()] = true
				}
			}
			if r.kind == "distinct" {
				n = len(values)
			}
			found = max(found, n)
		}
		over = found > r.threshold
	}
	fire, next := c.edge.judge(over, inOrder, r.every, false)
	c.edge = next
	return found, fire
}

// isStep says whether an event with an id is a step, and remembers the id.
func (r oracleRule) isStep(c *oracleCounter, e oracleEvent) bool {
	if e.time > c.shown && !r.within(c.shown, e.time) {
		c.walked = nil
	}
	c.shown = max(c.shown, e.time)
	known, near := false, false
	for _, s := range c.walked {
		for id := range s.shown {
			known = known || id == e.id
			near = near || max(id-e.id, e.id-id) <= r.maxStep
		}
	}
	of := oracleStretch{e.id / 64, map[int]bool{}}
	if i := slices.IndexFunc(c.walked, func(s oracleStretch) bool { return s.number == of.number }); i >= 0 {
		of = c.walked[i]
		c.walked = slices.Delete(c.walked, i, i+1)
	}
	of.shown[e.id] = true
	c.walked = append([]oracleStretch{of}, c.walked...)
	c.walked = c.walked[:min(5, len(c.walked))]
	return near && !known
}

// newestFired is the index of the newest verdict by event time, the later of equals.
func (r oracleRule) newestFired(c *oracleCounter) int {
	best := 0
	for i, at := range c.fired {
		if at >= c.fired[best] {
			best = i
		}
	}
	return best
}

func (r oracleRule) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - {id: %s, type: %s, window: %dus, ban_for: %dus", r.id, r.kind, r.window, max(r.banFor, 1))
	switch r.kind {
	case "usage":
		fmt.Fprintf(&b, ", threshold: %d", r.threshold)
	case "distinct":
		fmt.Fprintf(&b, ", field: path, threshold: %d", r.threshold)
	case "walk":
		fmt.Fprintf(&b, ", threshold: %d, max_step: %d", r.threshold, r.maxStep)
	case "ratio":
		fmt.Fprintf(&b, ", pattern: 'status:404', min_volume: %d, threshold: %v", r.minVolume, r.share)
	}
	if r.notFound {
		if r.kind == "usage" {
			b.Reset()
			fmt.Fprintf(&b, "  - {id: %s, type: return_pattern, pattern: 'status:404', window: %dus, ban_for: %dus, threshold: %d",
				r.id, r.window, max(r.banFor, 1), r.threshold)
		} else {
			b.WriteString(", when: 'status == 404'")
		}
	}
	if r.halfOpen {
		b.WriteString(", window_edge: half_open")
	}
	if r.every {
		b.WriteString(", emit: every")
	}
	if r.ban {
		b.WriteString(", action: ban")
	}
	if r.reset {
		b.WriteString(", reset_on_ban: true")
	}
	if r.perEndpoint {
		b.WriteString(", group_by: [subject, endpoint]")
	}
	b.WriteString("}\n")
	return b.String()
}

func drawRules(t *rapid.T) []oracleRule {
	rules := make([]oracleRule, rapid.IntRange(1, 5).Draw(t, "rules"))
	for i := range rules {
		r := &rules[i]
		r.id = fmt.Sprintf("r%d", i)
		r.kind = rapid.SampledFrom([]string{"usage", "usage", "distinct", "ratio", "match", "walk"}).Draw(t, "kind")
		r.threshold = rapid.SampledFrom([]int{1, 2, 3, 7, 20, 40}).Draw(t, "threshold")
		r.share = rapid.SampledFrom([]float64{0.1, 0.5, 0.7}).Draw(t, "share")
		r.minVolume = rapid.IntRange(1, 8).Draw(t, "volume")
		r.maxStep = rapid.SampledFrom([]int{1, 2, 30, 100}).Draw(t, "max step")
		r.window = rapid.SampledFrom([]int64{1, 5, 20, 100, 1000}).Draw(t, "window")
		r.halfOpen = rapid.Bool().Draw(t, "half open")
		r.every = rapid.Bool().Draw(t, "every")
		r.ban = rapid.IntRange(0, 3).Draw(t, "ban") == 0
		r.banFor = rapid.SampledFrom([]int64{1, 10, 50}).Draw(t, "ban for")
		r.reset = r.ban && rapid.Bool().Draw(t, "reset")
		r.perEndpoint = rapid.IntRange(0, 4).Draw(t, "group") == 0
		r.notFound = r.kind == "match" || r.kind != "ratio" && rapid.Bool().Draw(t, "404 only")
	}
	return rules
}

func drawEvents(t *rapid.T, lateness int64, n int) []oracleEvent {
	now := int64(1_000_000)
	step := rapid.SampledFrom([]int64{0, 1, 3, 30}).Draw(t, "step")
	paths := rapid.SampledFrom([]int{2, 6, 64}).Draw(t, "paths")
	subjects := rapid.IntRange(1, 3).Draw(t, "subjects")
	disorder := rapid.Bool().Draw(t, "disorder")
	ids := rapid.SampledFrom([]int{0, 3, 30, 300, 10_000}).Draw(t, "ids")
	events := make([]oracleEvent, n)
	for i := range events {
		now += rapid.Int64Range(0, step).Draw(t, "gap")
		at := now
		if disorder && rapid.IntRange(0, 2).Draw(t, "late") == 0 {
			at -= rapid.Int64Range(0, lateness+2).Draw(t, "by")
		}
		events[i] = oracleEvent{
			time:    at,
			subject: fmt.Sprintf("198.51.100.%d", rapid.IntRange(1, subjects).Draw(t, "subject")),
			path:    fmt.Sprintf("/p%c%c", 'a'+rapid.IntRange(0, paths-1).Draw(t, "path")/8, 'a'+rapid.IntRange(0, 7).Draw(t, "path")),
			status:  rapid.SampledFrom([]int{200, 404}).Draw(t, "status"),
		}
		switch {
		case ids == 0:
		case i > 0 && events[i-1].id > 0 && rapid.Bool().Draw(t, "on"):
			events[i].path, events[i].id = events[i-1].path, max(1, events[i-1].id+rapid.IntRange(-2, 3).Draw(t, "by"))
		default:
			events[i].id = rapid.IntRange(0, ids).Draw(t, "id")
		}
	}
	return events
}

func (e oracleEvent) event() *schemas.Event {
	return &schemas.Event{
		Time: e.time, HasTime: true, ClientIP: netip.MustParseAddr(e.subject), Status: uint16(e.status),
		Method: []byte("GET"), Path: []byte(e.whole()),
	}
}

func mustLoad(t rapid.TB, rules string) *Program {
	dir, err := os.MkdirTemp("", "rules")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Load(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, rules)
	}
	return p
}

func TestEngineAgreesWithTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lateness := rapid.SampledFrom([]int64{0, 1, 10, 80}).Draw(t, "lateness")
		rules := drawRules(t)
		events := drawEvents(t, lateness, rapid.SampledFrom([]int{5, 20, 60, 300}).Draw(t, "events"))
		text := fmt.Sprintf("version: 1\nlateness: %dus\nrules:\n", lateness)
		thresholds := map[string]oracleRule{}
		for _, r := range rules {
			text += r.yaml()
			thresholds[r.id] = r
		}
		o := &oracle{lateness: lateness, rules: rules, bans: map[string][]interval{}, counters: map[string]*oracleCounter{}}
		e := NewEngine(mustLoad(t, text), Options{Topic: "t", File: true, Shards: 1})
		judged := make([]*schemas.Event, len(events))
		for i := range events {
			judged[i] = events[i].event()
		}
		ahead := rapid.IntRange(0, Ahead+2).Draw(t, "ahead") // it must make no difference
		for i, ev := range events {
			if ahead > 0 && i%ahead == 0 {
				e.Foresee(judged[i:min(i+ahead, len(judged))])
			}
			want := o.observe(i, ev)
			e.Observe(judged[i], Record{Offset: int64(i)})
			verdicts, _ := e.Take()
			var got []oracleVerdict
			for _, v := range verdicts {
				got = append(got, oracleVerdict{v.RuleID, int(v.Trigger.Offset), int(v.Count)})
			}
			same := slices.EqualFunc(got, want, func(g, w oracleVerdict) bool {
				r := thresholds[w.rule]
				if r.kind == "usage" || r.kind == "distinct" || r.kind == "walk" {
					// Beyond threshold + 1 the count may stay behind.
					return g.rule == w.rule && g.count > r.threshold && g.count <= w.count
				}
				return g == w
			})
			if !same {
				t.Fatalf("event %d %+v: want %v, got %v\n%s%+v", i, ev, want, got, text, about(events[:i+1], ev))
			}
		}
	})
}

// about gives the last events of the same subject, for a failure's message.
func about(events []oracleEvent, like oracleEvent) []oracleEvent {
	same := slices.DeleteFunc(slices.Clone(events), func(e oracleEvent) bool { return e.subject != like.subject })
	return same[max(0, len(same)-40):]
}
