package detector

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/apiwarden/apiwarden/schemas"
)

// verdict makes the verdict of a rule that fired on an event.
func (e *Engine) verdict(f *firing, o *observed) schemas.Verdict {
	r := f.rule
	scope, name := e.name(f.who, o)
	v := schemas.Verdict{
		RuleID: r.ID, RuleVersion: r.Version, RuleType: string(r.Type), Trigger: e.position(&o.record),
		Scope: scope, Subject: name, Endpoint: o.endpoint.name,
		Action: r.Action, ActionTaken: e.taken(r, f.who, o),
		Count: int64(f.count), Threshold: r.threshold(), WindowS: float64(r.Window) / 1e6,
		EventTime: schemas.Micros(o.time), DetectedAt: schemas.Micros(e.clock.newest),
		Message: r.Message, Tags: r.Tags,
		Evidence: schemas.Evidence{FromTime: schemas.Micros(f.from), ToTime: schemas.Micros(o.time), Trigger: request(o.Event)},
	}
	v.VerdictID = verdictID(&v)
	v.Details = r.sentence(f, name)
	if v.ActionTaken == schemas.TakenAlert && r.Action == schemas.ActionBan {
		v.Details += fmt.Sprintf("; only an alert: the rule has used up its budget of %d bans a minute", r.MaxBansPerMinute)
	}
	if !e.opts.File {
		at := schemas.Micros(o.record.Time)
		v.RecordTime = &at
	}
	switch r.Action {
	case schemas.ActionBan:
		s := e.enforced(f.who.key)
		if s == nil {
			s = &enforcement{}
		}
		duration, _ := s.banFor(r, o.time, e.program.set.Settings.Escalation)
		v.ExpiresAt = micro(o.time + duration)
	case schemas.ActionThrottle:
		v.ExpiresAt = micro(o.time + r.ThrottleFor)
		v.RetryAfterS = retryAfter(r)
	}
	return v
}

func micro(t int64) *schemas.Micros { m := schemas.Micros(t); return &m }

// retryAfter gives a throttle's length in whole seconds, as the Retry-After header
// wants it.
func retryAfter(r *rule) *int64 {
	s := (r.ThrottleFor + 1e6 - 1) / 1e6
	return &s
}

// threshold gives what a verdict says was crossed.
func (r *rule) threshold() *float64 {
	t := float64(r.Threshold)
	if r.Type == TypeRatio {
		t = r.Share.Float()
	}
	return &t
}

// verdictID is 128 bits of a SHA-256 over what makes a verdict the one it is, so that
// the same log always gives the same ids.
func verdictID(v *schemas.Verdict) string {
	h := sha256.New()
	var n [8]byte
	for _, s := range []string{v.RuleID, v.RuleVersion, v.Subject, v.Endpoint, v.Trigger.Topic} {
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	for _, i := range []int64{int64(v.EventTime), int64(v.Trigger.Partition), v.Trigger.Offset} {
		binary.LittleEndian.PutUint64(n[:], uint64(i))
		h.Write(n[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// sentence says in words what a rule found.
func (r *rule) sentence(f *firing, name string) string {
	within := " within " + micros(r.Window).String()
	switch r.Type {
	case TypeDistinct:
		return fmt.Sprintf("%s used %d different values of %s%s; %d are allowed", name, f.count, r.Field, within, r.Threshold)
	case TypeRatio:
		return fmt.Sprintf("%d of %d requests of %s (%s) matched %s%s; %s are allowed", f.count, f.of, name,
			percent(float64(f.count)/float64(f.of)), r.Pattern, within, percent(r.Share.Float()))
	case TypeWalk:
		ids := "ids"
		if r.Field != nil {
			ids = "values of " + r.Field.String()
		}
		return fmt.Sprintf("%s walked on %d times%s, to %s next to those it had asked for; %d steps are allowed", name, f.count, within, ids, r.Threshold)
	case TypeMatch:
		return fmt.Sprintf("%s sent a request that matches rule %s", name, r.ID)
	case TypeReturnPattern:
		return fmt.Sprintf("%d responses to %s matched %s%s; %d are allowed", f.count, name, r.Pattern, within, r.Threshold)
	}
	return fmt.Sprintf("%s made %d requests%s; %d are allowed", name, f.count, within, r.Threshold)
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'g', 4, 64) + " %" }

// maxRequest bounds the request quoted in a verdict's evidence.
const maxRequest = 200

// request gives an event's request as text: METHOD path → status.
func request(ev *schemas.Event) string {
	path := ev.Path
	if len(path) > maxRequest {
		path = path[:maxRequest]
	}
	return string(ev.Method) + " " + string(path) + " → " + strconv.Itoa(int(ev.Status))
}
