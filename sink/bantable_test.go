package sink

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/apiwarden/apiwarden/schemas"
)

func drawBan(t *rapid.T, now int64) schemas.Ban {
	b := schemas.Ban{
		Scope: schemas.ScopeIP, Value: "192.0.2.1",
		Action:    rapid.SampledFrom([]schemas.Action{schemas.ActionBan, schemas.ActionThrottle}).Draw(t, "action"),
		RuleIDs:   rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 3, rapid.ID[string]).Draw(t, "rules"),
		Reason:    rapid.SampledFrom([]string{"x", "y"}).Draw(t, "reason"),
		Since:     schemas.Micros(rapid.Int64Range(0, 5).Draw(t, "since")),
		ExpiresAt: schemas.Micros(now + rapid.Int64Range(-2, 20).Draw(t, "left")*1e6),
	}
	if b.Action == schemas.ActionThrottle {
		after := rapid.Int64Range(1, 3).Draw(t, "after")
		b.RetryAfterS = &after
	}
	return b
}

func TestMergingIsOrderlessAndComesToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawBan(t, 100e6), drawBan(t, 100e6)
		m := mergeBans(a, b)
		if !sameBan(m, mergeBans(b, a)) {
			t.Fatalf("merging depends on the order: %v, %v", m, mergeBans(b, a))
		}
		if !sameBan(m, mergeBans(a, m)) || !sameBan(m, mergeBans(m, b)) || !sameBan(m, mergeBans(m, m)) {
			t.Fatalf("merging a merger with its part changes it: %v", m)
		}
		if !covers(m, a) || !covers(m, b) {
			t.Fatalf("%v does not cover %v and %v", m, a, b)
		}
		if !asks(m, a) && !asks(m, b) {
			t.Fatalf("neither %v nor %v asks for %v", a, b, m)
		}
	})
}

// asks: a is a reason for what b does, and for its lasting so long.
func asks(b, a schemas.Ban) bool { return a.Action == b.Action && a.ExpiresAt == b.ExpiresAt }

// covers: whoever enforces a does all that b asks for. A throttle that outlives a ban
// comes back after it.
func covers(a, b schemas.Ban) bool {
	for _, id := range b.RuleIDs {
		if !slices.Contains(a.RuleIDs, id) {
			return false
		}
	}
	if a.Action == b.Action {
		return a.ExpiresAt >= b.ExpiresAt
	}
	return a.Action == schemas.ActionBan
}

// Who takes over a partition finds the former owner's throttle on the topic. It must
// not make the ban that follows last as long as the throttle, which comes back instead.
func TestThrottleOfTheFormerOwnerDoesNotProlongABan(t *testing.T) {
	const key = "ip:192.0.2.1"
	after := int64(60)
	throttle := schemas.Ban{
		Scope: schemas.ScopeIP, Value: "192.0.2.1", Action: schemas.ActionThrottle, RuleIDs: []string{"slow"}, RetryAfterS: &after, Since: 1e6, ExpiresAt: 100e6,
	}
	ban := schemas.Ban{Scope: schemas.ScopeIP, Value: "192.0.2.1", Action: schemas.ActionBan, RuleIDs: []string{"fast", "slow"}, Since: 10e6, ExpiresAt: 50e6}
	merged := ban
	merged.Since = throttle.Since
	table := newBanTable()
	table.read(key, &banValue{ban: throttle}, 0, false)
	table.enforce(0, []schemas.Ban{throttle})
	for i, step := range []struct {
		now    int64
		change *schemas.BanChange
		want   schemas.Ban
	}{
		{10e6, &schemas.BanChange{Ban: ban}, merged},
		{51e6, &schemas.BanChange{Ban: throttle}, throttle},
	} {
		table.change(0, *step.change)
		w, due := table.settle(key, step.now)
		if !due || w.value == nil || !sameBan(w.value.ban, step.want) {
			t.Fatalf("step %d: %v, %+v, want %+v", i, due, w.value, step.want)
		}
		table.wrote(key, w.value, int64(i+1))
	}
}

// simulated is a ban topic with one key and some writers who read it at their own pace.
type simulated struct {
	log      []entry
	controls []schemas.Control // the control topic
	writers  []*simulatedWriter
	now      int64
}

type entry struct {
	value  *banValue
	writer int
}

type simulatedWriter struct {
	table *banTable
	id    int // besides its index: a process that has been restarted is another writer
	read  int
	heard int // of controls
	own   *schemas.Ban
}

const simulatedKey = "ip:192.0.2.1"

func (s *simulated) settle(i int) bool {
	w, due := s.writers[i].table.settle(simulatedKey, s.now)
	if due {
		s.writers[i].table.wrote(w.key, w.value, int64(len(s.log)))
		s.log = append(s.log, entry{w.value, s.name(i)})
	}
	return due
}

func (s *simulated) name(i int) int { return 100*i + s.writers[i].id }

// hear has a writer take n records of the control topic.
func (s *simulated) hear(i, n int) bool {
	w := s.writers[i]
	moved := false
	for ; n > 0 && w.heard < len(s.controls); n-- {
		w.table.control(s.controls[w.heard])
		w.heard++
		moved = true
	}
	return s.settle(i) || moved
}

func (s *simulated) follow(i, n int) bool {
	w := s.writers[i]
	moved := false
	for ; n > 0 && w.read < len(s.log); n-- {
		e := s.log[w.read]
		w.table.read(simulatedKey, e.value, int64(w.read), e.writer == s.name(i))
		w.read++
		moved = true
	}
	return s.settle(i) || moved
}

func (s *simulated) topic() *schemas.Ban {
	if len(s.log) == 0 || s.log[len(s.log)-1].value == nil {
		return nil
	}
	return &s.log[len(s.log)-1].value.ban
}

func TestWritersOfOneSubjectComeToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &simulated{now: 100e6}
		for range rapid.IntRange(1, 3).Draw(t, "writers") {
			s.writers = append(s.writers, &simulatedWriter{table: newBanTable()})
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			i := rapid.IntRange(0, len(s.writers)-1).Draw(t, "writer")
			w := s.writers[i]
			switch rapid.SampledFrom([]string{"ban", "end", "read", "read", "time", "stray"}).Draw(t, "step") {
			case "ban":
				b := drawBan(t, s.now)
				w.own = &b
				w.table.change(0, schemas.BanChange{Ban: b})
				s.settle(i)
			case "end":
				w.own = nil
				w.table.change(0, schemas.BanChange{Ban: schemas.Ban{Scope: schemas.ScopeIP, Value: "192.0.2.1"}, End: true})
				s.settle(i)
			case "read":
				s.follow(i, rapid.IntRange(1, 5).Draw(t, "records"))
			case "time":
				s.now += rapid.Int64Range(0, 5).Draw(t, "seconds") * 1e6
				for i := range s.writers {
					s.settle(i)
				}
			case "stray":
				e := entry{writer: -1}
				if b := drawBan(t, s.now); rapid.Bool().Draw(t, "value") {
					e.value = &banValue{ban: b}
				}
				s.log = append(s.log, e)
			}
		}
		s.rest(t)
		for i, w := range s.writers {
			if w.own == nil || ended(w.own, s.now) {
				continue
			}
			if s.topic() == nil || !covers(*s.topic(), *w.own) {
				t.Fatalf("writer %d enforces %v, the topic holds %v", i, *w.own, s.topic())
			}
		}
		s.now += 100e6 // long after every end
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

// rest lets every writer read and write until nobody has anything to do.
func (s *simulated) rest(t *rapid.T) {
	for range 100 {
		busy := false
		for i := range s.writers {
			busy = s.hear(i, 1<<30) || busy
			busy = s.follow(i, 1<<30) || busy
		}
		if !busy {
			return
		}
	}
	t.Fatalf("the writers do not come to rest: %d records", len(s.log))
}

func TestEndingFindsWhatTheClockHasEnded(t *testing.T) {
	table := newBanTable()
	for i, left := range []int64{10, 20, 30} {
		value := string(rune('a' + i))
		table.change(0, schemas.BanChange{Ban: schemas.Ban{Scope: schemas.ScopeUser, Value: value, ExpiresAt: schemas.Micros(left)}})
		table.wrote("user:"+value, &banValue{ban: schemas.Ban{ExpiresAt: schemas.Micros(left)}}, int64(i))
	}
	for _, step := range []struct {
		now  int64
		want int
	}{{5, 0}, {10, 0}, {11, 1}, {25, 2}, {31, 3}} {
		if got := table.ending(step.now); len(got) != step.want {
			t.Errorf("at %d: %d have ended, want %d", step.now, len(got), step.want)
		}
	}
}
