package main

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apiwarden/apiwarden/schemas"
)

// board collects what a demo sees on the topics, as a subscriber would: verdicts,
// bans that begin and end, dead letters. Safe for concurrent use.
type board struct {
	names map[string]string // subject -> who it is, for those that traffic knows

	mu        sync.Mutex
	live      time.Time // verdicts about events from here on count for latency; zero: none yet
	verdicts  map[string]bool
	byAction  map[string]int
	latest    []schemas.Verdict // newest last
	ages      []time.Duration   // event to seen verdict, of live events
	offenders map[string]*offender
	bans      map[string]schemas.Ban // enforced now, by key
	ended     []endedBan             // newest last
	banned    map[string]bool        // subjects that were ever banned
	bansBegun int
	dead      int
}

type offender struct {
	subject  string
	verdicts int
	rules    []string
	last     time.Time
}

type endedBan struct {
	ban schemas.Ban
	at  time.Time
}

const (
	keptVerdicts = 64
	keptEnded    = 16
	keptAges     = 1 << 16
)

func newBoard() *board {
	return &board{
		names: map[string]string{}, verdicts: map[string]bool{}, byAction: map[string]int{}, offenders: map[string]*offender{},
		bans: map[string]schemas.Ban{}, banned: map[string]bool{},
	}
}

// goLive makes verdicts about events from at on count for latency.
func (b *board) goLive(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live = at
}

// name says who a subject is.
func (b *board) name(addr netip.Addr, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.names[addr.String()] = name
}

// verdict notes a verdict that was seen at now. One that was seen before changes
// nothing: delivery is at least once.
func (b *board) verdict(v schemas.Verdict, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.verdicts[v.VerdictID] {
		return
	}
	b.verdicts[v.VerdictID] = true
	b.byAction[v.ActionTaken]++
	b.latest = push(b.latest, v, keptVerdicts)
	o := b.offenders[v.Subject]
	if o == nil {
		o = &offender{subject: v.Subject}
		b.offenders[v.Subject] = o
	}
	o.verdicts++
	o.last = v.EventTime.Time()
	if !slices.Contains(o.rules, v.RuleID) {
		o.rules = append(o.rules, v.RuleID)
	}
	if v.ActionTaken == string(schemas.ActionBan) {
		b.bansBegun++
		b.banned[v.Subject] = true
	}
	// What is learned is judged by the bucket, long after its events.
	if v.EpisodeID == "" && !b.live.IsZero() && !v.EventTime.Time().Before(b.live) {
		b.ages = push(b.ages, now.Sub(v.EventTime.Time()), keptAges)
	}
}

// ban notes what is enforced for key from now on; nil ends it. It gives what was
// enforced before, nil where that was nothing.
func (b *board) ban(key string, ban *schemas.Ban, now time.Time) (before *schemas.Ban) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, was := b.bans[key]
	if was {
		before = &old
	}
	if ban == nil {
		if was {
			b.ended = push(b.ended, endedBan{old, now}, keptEnded)
			delete(b.bans, key)
		}
		return before
	}
	b.bans[key] = *ban
	if ban.Action == schemas.ActionBan {
		b.banned[ban.Value] = true
	}
	return before
}

func (b *board) deadLetter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead++
}

// bannedSubjects are those that were ever banned, sorted.
func (b *board) bannedSubjects() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]string, 0, len(b.banned))
	for s := range b.banned {
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

// counts gives the number of verdicts, of those that banned, and of dead letters.
func (b *board) counts() (verdicts, bans, dead int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.verdicts), b.bansBegun, b.dead
}

// age is the q-quantile of the time from a live event to its verdict; false: there
// is none yet.
func (b *board) age(q float64) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return quantile(b.ages, q)
}

func quantile(ages []time.Duration, q float64) (time.Duration, bool) {
	if len(ages) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(ages))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))], true
}

// push appends v and keeps the newest most.
func push[T any](list []T, v T, most int) []T {
	if len(list) >= most {
		list = append(list[:0], list[len(list)-most+1:]...)
	}
	return append(list, v)
}

// topOffenders are the subjects with the most verdicts, at most n.
func (b *board) topOffenders(n int) []offender {
	list := make([]offender, 0, len(b.offenders))
	for _, o := range b.offenders {
		list = append(list, *o)
	}
	slices.SortFunc(list, func(x, y offender) int {
		return cmp.Or(cmp.Compare(y.verdicts, x.verdicts), y.last.Compare(x.last), strings.Compare(x.subject, y.subject))
	})
	return list[:min(n, len(list))]
}

// activeBans are what is enforced at now, the newest first.
func (b *board) activeBans(now time.Time) []schemas.Ban {
	var list []schemas.Ban
	for _, ban := range b.bans {
		if !ban.ExpiresAt.Time().Before(now) {
			list = append(list, ban)
		}
	}
	slices.SortFunc(list, func(x, y schemas.Ban) int {
		return cmp.Or(cmp.Compare(y.Since, x.Since), strings.Compare(x.Value, y.Value))
	})
	return list
}
