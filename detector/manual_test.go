package detector

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/schemas"
)

func TestManualChanges(t *testing.T) {
	const rules = `version: 1
rules:
  - {id: calls, type: usage, threshold: 2, window: 10s, action: ban, ban_for: 1m}
  - {id: seen, type: match, when: 'path == "/admin"', window: 10s, action: ban, ban_for: 1m}
`
	const me = "192.0.2.7"
	type step struct {
		after   int64 // s since the beginning
		path    string
		op      schemas.Op
		subject string // of op
	}
	hits := func(from int64, n int) []step {
		var s []step
		for i := range n {
			s = append(s, step{after: from + int64(i), path: "/"})
		}
		return s
	}
	op := func(after int64, op schemas.Op, subject string) []step {
		return []step{{after: after, op: op, subject: subject}}
	}
	for name, tc := range map[string]struct {
		steps []step
		want  []int64 // s of verdicts
		ends  int     // bans ended
	}{
		"a ban by hand keeps events from counting":         {slices.Concat(op(0, schemas.OpBan, me), hits(0, 9)), nil, 0},
		"it ends by itself":                                {slices.Concat(op(0, schemas.OpBan, me), hits(3601, 3)), []int64{3603}, 0},
		"a network too":                                    {slices.Concat(op(0, schemas.OpBan, "192.0.2.0/24"), hits(0, 9)), nil, 0},
		"unban ends it":                                    {slices.Concat(op(0, schemas.OpBan, me), op(1, schemas.OpUnban, me), hits(1, 3)), []int64{3}, 0},
		"of another it changes nothing":                    {slices.Concat(op(0, schemas.OpBan, "192.0.2.8"), hits(0, 3)), []int64{2}, 0},
		"exempt is not counted":                            {slices.Concat(op(0, schemas.OpExempt, me), hits(0, 9)), nil, 0},
		"until it is unexempt":                             {slices.Concat(op(0, schemas.OpExempt, me), hits(0, 2), op(2, schemas.OpUnexempt, me), hits(2, 3)), []int64{4}, 0},
		"exempt ends a ban by rules":                       {slices.Concat(hits(0, 3), op(3, schemas.OpExempt, me), hits(3, 9)), []int64{2}, 1},
		"unban ends a ban by rules":                        {slices.Concat(hits(0, 3), op(3, schemas.OpUnban, me)), []int64{2}, 1},
		"a network's unban too":                            {slices.Concat(hits(0, 3), op(3, schemas.OpUnban, "192.0.2.0/24")), []int64{2}, 1},
		"which stays while the old offence lasts":          {slices.Concat(hits(0, 3), op(3, schemas.OpUnban, me), hits(3, 5)), []int64{2}, 1},
		"until the next offence":                           {slices.Concat(hits(0, 3), op(3, schemas.OpUnban, me), hits(20, 3)), []int64{2, 22}, 1},
		"without unban the count goes on after the ban":    {slices.Concat(hits(0, 3), hits(63, 3)), []int64{2, 65}, 1},
		"a match is silent for its window after the unban": {[]step{{after: 0, path: "/admin"}, {after: 1, op: schemas.OpUnban, subject: me}, {after: 2, path: "/admin"}}, []int64{0}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := NewEngine(mustLoad(t, rules), Options{Topic: "t", File: true})
			var got []int64
			ends := 0
			for i, s := range tc.steps {
				at := origin + s.after*second
				if s.op != "" {
					scope, value, err := schemas.ControlSubject("", s.subject)
					if err != nil {
						t.Fatal(err)
					}
					e.Control(int64(i), schemas.Control{Scope: scope, Value: value, Op: s.op, At: schemas.Micros(at), For: schemas.Duration(time.Hour)})
				} else {
					e.Observe(hit(netip.MustParseAddr(me), at, s.path), Record{Offset: int64(i)})
				}
				verdicts, bans := e.Take()
				for _, v := range verdicts {
					got = append(got, (int64(v.EventTime)-origin)/second)
				}
				for _, b := range bans {
					if b.End {
						ends++
					}
				}
			}
			if !slices.Equal(got, tc.want) || ends != tc.ends {
				t.Errorf("verdicts at %v and %d ends, want %v and %d", got, ends, tc.want, tc.ends)
			}
		})
	}
}

// TestUsersAreKnownToLaterRules: what people have said of a user holds for rules that
// take users as their subject only since then.
func TestUsersAreKnownToLaterRules(t *testing.T) {
	e := NewEngine(mustLoad(t, "version: 1\nrules: [{id: a, type: usage, threshold: 9, window: 1h}]"), Options{Topic: "t", File: true})
	for _, user := range []string{"ann", "bob"} {
		e.Control(0, schemas.Control{Scope: schemas.ScopeUser, Value: user, Op: schemas.OpExempt, At: schemas.Micros(origin)})
	}
	e.Control(0, schemas.Control{Scope: schemas.ScopeUser, Value: "bob", Op: schemas.OpUnexempt, At: schemas.Micros(origin)})
	e.Adopt(0, mustLoad(t, "version: 1\nrules: [{id: u, type: usage, threshold: 1, window: 1h, key: user_id}]"))
	var fired []string
	for i, user := range []string{"ann", "bob", "ann", "bob", "ann"} {
		ev := hit(client(i), origin+int64(i)*second, "/")
		ev.UserID = []byte(user)
		for _, v := range observe(e, ev, i).verdicts {
			fired = append(fired, v.Subject)
		}
	}
	if !slices.Equal(fired, []string{"bob"}) {
		t.Errorf("verdicts of %v, want bob alone", fired)
	}
}
