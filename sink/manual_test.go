package sink

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

const second = 1_000_000 // µs

// atDesk is a table with a clock, and the topic as its writes make it.
type atDesk struct {
	table  *banTable
	now    int64
	topic  map[string]*banValue
	offset int64
}

func newDesk() *atDesk {
	return &atDesk{table: newBanTable(), now: 100 * second, topic: map[string]*banValue{}}
}

func (d *atDesk) settle(keys ...string) {
	for _, key := range keys {
		if w, due := d.table.settle(key, d.now); due {
			d.put(key, w.value, true)
		}
	}
}

func (d *atDesk) put(key string, v *banValue, ours bool) {
	d.offset++
	if ours {
		d.table.wrote(key, v, d.offset)
	} else {
		d.table.read(key, v, d.offset, false)
	}
	d.topic[key] = v
	if v == nil {
		delete(d.topic, key)
	}
}

// said has a person change something at an instant, in s; key names the subject.
func (d *atDesk) said(op schemas.Op, key string, at, lasts int64) {
	c := schemas.Control{Op: op, At: schemas.Micros(at * second), For: schemas.Duration(time.Duration(lasts) * time.Second), Reason: "by hand", By: "anna"}
	c.Scope, c.Value = splitKey(key)
	d.settle(d.table.control(c)...)
}

func splitKey(key string) (schemas.Scope, string) {
	p, _ := prefixOf(key)
	scope := schemas.ScopeRange
	if p.IsSingleIP() {
		scope = schemas.ScopeIP
	}
	return scope, key[len(scope)+1:]
}

// rule is a ban by rule r, from and until an instant in s.
func ruleBan(key string, from, until int64) schemas.Ban {
	b := schemas.Ban{Action: schemas.ActionBan, RuleIDs: []string{"r"}, Reason: "by rule", Message: "m", Since: schemas.Micros(from * second), ExpiresAt: schemas.Micros(until * second)}
	b.Scope, b.Value = splitKey(key)
	return b
}

func (d *atDesk) decided(key string, from, until int64) {
	d.settle(d.table.change(0, schemas.BanChange{Ban: ruleBan(key, from, until)}))
}

func (d *atDesk) stray(key string, from, until int64) {
	d.put(key, &banValue{ban: ruleBan(key, from, until)}, false)
	d.settle(key)
}

func (d *atDesk) at(now int64) {
	d.now = now * second
	d.settle(d.table.ending(d.now)...)
}

// holds gives the topic as text: rules, reason, since, until.
func (d *atDesk) holds() map[string]string {
	out := make(map[string]string)
	for key, v := range d.topic {
		out[key] = fmt.Sprintf("%s %v %q %d-%d", v.ban.Action, v.ban.RuleIDs, v.ban.Reason+v.ban.Message, v.ban.Since/second, v.ban.ExpiresAt/second)
	}
	return out
}

func TestManualChangesInTheTable(t *testing.T) {
	const ip, other, network, v6 = "ip:192.0.2.1", "ip:192.0.2.2", "range:192.0.2.0/24", "ip:2001:db8::1"
	byHand := func(from, until int64) string { return fmt.Sprintf(`ban [manual] "by hand" %d-%d`, from, until) }
	byRule := func(from, until int64) string { return fmt.Sprintf(`ban [r] "by rulem" %d-%d`, from, until) }
	nobody := map[string]string{}
	only := func(key, value string) map[string]string { return map[string]string{key: value} }
	for name, c := range map[string]struct {
		do   func(d *atDesk)
		want map[string]string
	}{
		"a ban stands":                         {func(d *atDesk) { d.said("ban", ip, 100, 50) }, only(ip, byHand(100, 150))},
		"a ban lasts an hour":                  {func(d *atDesk) { d.said("ban", ip, 100, 0) }, only(ip, byHand(100, 3700))},
		"a ban that is over does not stand":    {func(d *atDesk) { d.said("ban", ip, 40, 50) }, nobody},
		"a ban ends":                           {func(d *atDesk) { d.said("ban", ip, 100, 50); d.at(151) }, nobody},
		"a ban can be made shorter":            {func(d *atDesk) { d.said("ban", ip, 100, 500); d.said("ban", ip, 101, 50) }, only(ip, byHand(101, 151))},
		"a ban is ended":                       {func(d *atDesk) { d.said("ban", ip, 100, 50); d.said("unban", ip, 101, 0) }, nobody},
		"a ban ends by an exemption":           {func(d *atDesk) { d.said("ban", ip, 100, 50); d.said("exempt", ip, 101, 0) }, nobody},
		"a ban by an unexempt, as of anything": {func(d *atDesk) { d.said("ban", ip, 100, 50); d.said("unexempt", ip, 101, 0) }, nobody},
		"a ban of a network stands":            {func(d *atDesk) { d.said("ban", network, 100, 50) }, only(network, byHand(100, 150))},
		"a ban is merged with a rule's":        {func(d *atDesk) { d.decided(ip, 90, 120); d.said("ban", ip, 100, 50) }, only(ip, `ban [manual r] "by hand" 90-150`)},
		"a longer rule's ban is left":          {func(d *atDesk) { d.decided(ip, 90, 200); d.said("ban", ip, 100, 50); d.at(151) }, only(ip, byRule(90, 200))},
		"the rule's part ends":                 {func(d *atDesk) { d.said("ban", ip, 100, 50); d.decided(ip, 101, 120); d.at(121) }, only(ip, byHand(100, 150))},
		"an unban ends what rules decided":     {func(d *atDesk) { d.decided(ip, 90, 200); d.said("unban", ip, 100, 0) }, nobody},
		"an unban ends what others decided":    {func(d *atDesk) { d.stray(ip, 90, 200); d.said("unban", ip, 100, 0) }, nobody},
		"what an unban ended stays so":         {func(d *atDesk) { d.said("unban", ip, 100, 0); d.decided(ip, 90, 200); d.stray(ip, 95, 200) }, nobody},
		"and after a ban that was ended": {func(d *atDesk) {
			d.said("unban", ip, 100, 0)
			d.said("ban", ip, 101, 5)
			d.stray(ip, 95, 200)
			d.at(107)
		}, nobody},
		"a new offence counts":                    {func(d *atDesk) { d.said("unban", ip, 100, 0); d.decided(ip, 101, 200) }, only(ip, byRule(101, 200))},
		"an unban of a network is its own alone":  {func(d *atDesk) { d.decided(ip, 90, 200); d.said("unban", network, 100, 0) }, only(ip, byRule(90, 200))},
		"an unexempt ends no ban of a rule":       {func(d *atDesk) { d.decided(ip, 90, 200); d.said("unexempt", ip, 100, 0) }, only(ip, byRule(90, 200))},
		"who is exempt does not stand":            {func(d *atDesk) { d.said("exempt", ip, 100, 0); d.decided(ip, 110, 200); d.stray(ip, 111, 200) }, nobody},
		"an exemption ends bans for good":         {func(d *atDesk) { d.decided(ip, 90, 200); d.said("exempt", ip, 100, 0); d.said("unexempt", ip, 101, 0) }, nobody},
		"an exemption is over":                    {func(d *atDesk) { d.said("exempt", ip, 100, 10); d.decided(ip, 105, 200); d.at(111) }, only(ip, byRule(105, 200))},
		"an exempt network exempts its addresses": {func(d *atDesk) { d.decided(ip, 90, 200); d.decided(v6, 90, 200); d.said("exempt", network, 100, 0) }, only(v6, byRule(90, 200))},
		"also from bans by hand":                  {func(d *atDesk) { d.said("ban", ip, 99, 50); d.said("exempt", network, 100, 0) }, nobody},
		"whenever those come":                     {func(d *atDesk) { d.said("exempt", network, 100, 0); d.said("ban", ip, 101, 50) }, nobody},
		"until it ends":                           {func(d *atDesk) { d.said("ban", ip, 99, 50); d.said("exempt", network, 100, 10); d.at(111) }, only(ip, byHand(99, 149))},
		"or is ended": {func(d *atDesk) {
			d.said("ban", ip, 99, 50)
			d.said("exempt", network, 100, 0)
			d.said("unexempt", network, 101, 0)
		}, only(ip, byHand(99, 149))},
		"or a ban takes its place": {func(d *atDesk) {
			d.said("exempt", network, 100, 0)
			d.said("ban", ip, 101, 50)
			d.said("ban", network, 102, 50)
		}, map[string]string{ip: byHand(101, 151), network: byHand(102, 152)}},
		"a network with an exempt address is none": {func(d *atDesk) { d.said("exempt", other, 100, 0); d.decided(network, 101, 200) }, nobody},
		"one exemption of two": {func(d *atDesk) {
			d.said("exempt", ip, 100, 0)
			d.said("exempt", network, 100, 0)
			d.said("unexempt", ip, 101, 0)
			d.decided(ip, 102, 200)
		}, nobody},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			c.do(d)
			if diff := cmp.Diff(c.want, d.holds()); diff != "" {
				t.Errorf("topic (-want +got):\n%s", diff)
			}
		})
	}
}

// A table that starts anew reads what stands on both topics, in either order.
func TestManualChangesAfterARestart(t *testing.T) {
	const ip = "ip:192.0.2.1"
	for name, c := range map[string]struct {
		op     schemas.Op
		stands *banValue
		want   map[string]string
	}{
		"unban":         {"unban", &banValue{ban: ruleBan(ip, 90, 200)}, map[string]string{}},
		"exempt":        {"exempt", &banValue{ban: ruleBan(ip, 110, 200)}, map[string]string{}},
		"ban":           {"ban", nil, map[string]string{ip: `ban [manual] "by hand" 100-150`}},
		"ban, weakened": {"ban", &banValue{ban: ruleBan(ip, 90, 120)}, map[string]string{ip: `ban [manual r] "by hand" 90-150`}},
		// What was written of a longer ban by hand before is not taken for a rule's.
		"ban, shorter": {"ban", &banValue{ban: ruleBan(ip, 90, 900), byHand: true}, map[string]string{ip: `ban [manual] "by hand" 100-150`}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			if c.stands != nil {
				d.put(ip, c.stands, false)
			}
			d.said(c.op, ip, 100, 50)
			d.settle(d.table.keys()...)
			if diff := cmp.Diff(c.want, d.holds()); diff != "" {
				t.Errorf("topic (-want +got):\n%s", diff)
			}
		})
	}
}

// drawControl draws a change of the simulated subject, or of its network.
func drawControl(t *rapid.T, now int64) schemas.Control {
	c := schemas.Control{
		Op: rapid.SampledFrom([]schemas.Op{schemas.OpBan, schemas.OpUnban, schemas.OpExempt, schemas.OpUnexempt}).Draw(t, "op"),
		At: schemas.Micros(now + rapid.Int64Range(-3, 3).Draw(t, "at")*second), Scope: schemas.ScopeIP, Value: "192.0.2.1", By: "anna",
	}
	if rapid.Bool().Draw(t, "lasts") {
		c.For = schemas.Duration(time.Duration(rapid.Int64Range(1, 20).Draw(t, "for")) * time.Second)
	}
	if rapid.IntRange(0, 3).Draw(t, "subject") == 0 {
		c.Scope, c.Value = schemas.ScopeRange, "192.0.2.0/24"
	}
	return c
}

// Writers who follow the control topic at their own pace come to rest at what it and
// their own bans say. Where no ban was taken back the table is exactly that.
func TestWritersAgreeOnManualChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &simulated{now: 100 * second}
		for range rapid.IntRange(1, 3).Draw(t, "writers") {
			s.writers = append(s.writers, &simulatedWriter{table: newBanTable()})
		}
		exact := rapid.Bool().Draw(t, "exact")
		steps := []string{"ban", "control", "control", "read", "read", "hear", "end", "time", "stray", "restart"}
		if exact {
			steps = steps[:6]
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			i := rapid.IntRange(0, len(s.writers)-1).Draw(t, "writer")
			w := s.writers[i]
			switch rapid.SampledFrom(steps).Draw(t, "step") {
			case "ban":
				if exact && w.own != nil {
					continue // what is replaced may live on in another's merger
				}
				b := drawBan(t, s.now)
				b.Since = schemas.Micros(s.now + rapid.Int64Range(-3, 3).Draw(t, "since")*second)
				w.own = &b
				w.table.change(0, schemas.BanChange{Ban: b})
				s.settle(i)
			case "control":
				s.controls = append(s.controls, drawControl(t, s.now))
			case "hear":
				s.hear(i, 1)
			case "read":
				s.follow(i, rapid.IntRange(1, 5).Draw(t, "records"))
			case "end":
				w.own = nil
				w.table.change(0, schemas.BanChange{Ban: schemas.Ban{Scope: schemas.ScopeIP, Value: "192.0.2.1"}, End: true})
				s.settle(i)
			case "time":
				s.now += rapid.Int64Range(0, 5).Draw(t, "seconds") * second
				for i := range s.writers {
					s.settle(i)
				}
			case "stray":
				e := entry{writer: -1}
				if b := drawBan(t, s.now); rapid.Bool().Draw(t, "value") {
					b.Since = schemas.Micros(s.now + rapid.Int64Range(-3, 3).Draw(t, "since")*second)
					e.value = &banValue{ban: b, byHand: rapid.Bool().Draw(t, "by hand")}
				}
				s.log = append(s.log, e)
			case "restart":
				s.writers[i] = &simulatedWriter{table: newBanTable(), id: w.id + 10}
			}
		}
		s.rest(t)
		s.check(t, exact)
		s.now += 1000 * second
		s.controls = append(s.controls, schemas.Control{Op: schemas.OpUnban, At: schemas.Micros(s.now), Scope: schemas.ScopeIP, Value: "192.0.2.1"})
		s.rest(t)
		if s.topic() != nil {
			t.Fatalf("everything has ended and the topic still holds %v", *s.topic())
		}
		for i, w := range s.writers {
			if len(w.table.entries) != 0 || w.table.held != 0 {
				t.Fatalf("writer %d still remembers %v (%d held)", i, w.table.entries, w.table.held)
			}
		}
	})
}

// sameForce compares all but the texts: which of them a merger of several has depends
// on the order.
func sameForce(a, b schemas.Ban) bool {
	return a.Action == b.Action && a.ExpiresAt == b.ExpiresAt && a.Since == b.Since && slices.Equal(sortedIDs(a.RuleIDs), sortedIDs(b.RuleIDs))
}

// check compares the topic with what the control topic and the writers' own bans say.
func (s *simulated) check(t *rapid.T, exact bool) {
	said := newManualTable()
	for _, c := range s.controls {
		said.take(c)
	}
	held, manual := s.topic(), said.ban(simulatedKey, s.now)
	if said.exempts(simulatedKey, s.now) {
		if held != nil {
			t.Fatalf("the subject is exempt and the topic holds %v", *held)
		}
		return
	}
	want := manual
	for _, w := range s.writers {
		if w.own != nil && !ended(w.own, s.now) && !said.over(simulatedKey, w.own) {
			want = mergedWith(want, *w.own)
		}
	}
	switch {
	case want != nil && (held == nil || !covers(*held, *want)):
		t.Fatalf("the topic holds %v, want %v", held, *want)
	case held != nil && slices.Contains(held.RuleIDs, manualRule) != (manual != nil):
		t.Fatalf("the topic holds %v, by hand is %v", *held, manual)
	case exact && (want == nil) != (held == nil), exact && want != nil && !sameForce(*want, *held):
		t.Fatalf("the topic holds %v, want exactly %v", held, want)
	}
	if v := s.log; len(v) > 0 && v[len(v)-1].value.byRules() != nil {
		if rules := v[len(v)-1].value.byRules(); said.said[simulatedKey].newest.Op == schemas.OpUnban && said.over(simulatedKey, rules) {
			t.Fatalf("the topic holds %v, which a person has ended", *rules)
		}
	}
}

// What another process wrote of a ban by hand needs no patience: everybody knows
// themselves when that ends.
func TestBanByHandOfAnotherWriterEndsAtOnce(t *testing.T) {
	const key = "ip:192.0.2.1"
	rules := schemas.Ban{Scope: schemas.ScopeIP, Value: "192.0.2.1", Action: schemas.ActionBan, RuleIDs: []string{"a"}, ExpiresAt: 50 * second}
	both := rules
	both.RuleIDs, both.ExpiresAt = []string{"a", manualRule}, 100*second
	table := newBanTable()
	table.read(key, &banValue{ban: both, byHand: true, rules: &rules}, 0, false)
	if w, due := table.settle(key, 50*second+1); !due || w.value != nil {
		t.Errorf("%v, %+v: want a tombstone, for the rules' ban has ended and nobody has banned by hand", due, w.value)
	}
}
