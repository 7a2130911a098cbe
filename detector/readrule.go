package detector

import (
	"math/big"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/apiwarden/apiwarden/schemas"
)

// rule reads one rule. It always gives one, so that the rest of a wrong file is
// checked too.
func (l *loader) rule(m *mapping) *Rule {
	d := &l.settings.defaults
	r := &Rule{
		File: m.file, Line: m.line,
		Window: d.window, HalfOpen: d.halfOpen, Every: d.every, Action: d.action, BanFor: d.banFor,
		ThrottleFor: d.throttleFor, Passive: l.settings.settings.Passive,
	}
	l.name(m, r)
	known := l.kind(m, r)
	for i := range m.entries {
		e := &m.entries[i]
		key := keyOf(e.key)
		switch {
		case key == nil:
			m.refuse(e.line, "unknown key %s%s", e.key, schemas.DidYouMean(e.key, keyNames(r.Type)))
		case known && !key.usedBy(r.Type):
			m.refuse(e.line, "type %s does not use %s", r.Type, e.key)
		case known && !slices.Contains(laterTypes, r.Type):
			l.value(m, e, r)
		}
	}
	if !known || slices.Contains(laterTypes, r.Type) {
		return r
	}
	for i := range ruleKeys {
		if k := &ruleKeys[i]; k.neededBy(r.Type) && m.find(k.name) == nil {
			m.refuse(m.line, "%s is missing; type %s needs it", k.name, r.Type)
		}
	}
	l.together(m, r)
	r.Version = ruleVersion(r)
	return r
}

// name reads the id, which stands in front of everything that is said of the rule.
func (l *loader) name(m *mapping, r *Rule) {
	e := m.find("id")
	if e == nil {
		m.refuse(m.line, "id is missing")
		return
	}
	id, ok := m.text(e)
	if !ok {
		return
	}
	if id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		m.refuse(e.line, "id %q must be made of small letters, digits and dashes", id)
		return
	}
	m.what = "rule " + id
	r.ID = id
	if first, ok := l.ids[id]; ok {
		m.refuse(e.line, "id %s is given twice, first at %s:%d", id, first.File, first.Line)
		return
	}
	l.ids[id] = Problem{File: m.file, Line: e.line}
}

// kind reads the type and says whether it is one.
func (l *loader) kind(m *mapping, r *Rule) bool {
	e := m.find("type")
	if e == nil {
		m.refuse(m.line, "type is missing; it is one of %s", strings.Join(names(judgedTypes), ", "))
		return false
	}
	text, ok := m.oneOf(e, names(knownTypes))
	if !ok {
		return false
	}
	r.Type = Type(text)
	switch {
	case slices.Contains(laterTypes, r.Type):
		m.refuse(e.line, "type %s is not available yet", r.Type)
	case r.Type == TypeWalk:
		r.MaxStep = 1
	case slices.Contains(learnedTypes, r.Type):
		r.Learned = true
		r.Sensitivity = "normal"
		if of := metricNames(r.Type); of != nil {
			r.Metric = Metric(of[0])
		}
	}
	return true
}

// value reads one key of a rule of a known type that uses it.
func (l *loader) value(m *mapping, e *entry, r *Rule) {
	switch e.key {
	case "endpoint":
		r.Endpoints = m.endpointPatterns(e, true)
		if e.value != nil && e.value.Content == nil && len(m.texts(e, true)) == 0 && !isNull(e.value) {
			m.refuse(e.line, "endpoint is an empty list, which no event matches; leave it out for every endpoint")
		}
	case "when", "pattern", "field":
		l.expression(m, e, r)
	case "threshold":
		l.threshold(m, e, r)
	case "max_step":
		l.maxStep(m, e, r)
	case "min_volume":
		r.MinVolume, _ = m.count(e, 1)
	case "window":
		readDuration(m, e, &r.Window)
	case "ban_for":
		readDuration(m, e, &r.BanFor)
	case "throttle_for":
		readDuration(m, e, &r.ThrottleFor)
	case "remind":
		readDuration(m, e, &r.Remind)
	case "window_edge", "emit", "action", "mode", "sensitivity":
		if word, ok := m.oneOf(e, keyOf(e.key).values); ok {
			r.choose(e.key, word)
		}
	case "metric":
		if word, ok := m.oneOf(e, metricNames(r.Type)); ok {
			r.Metric = Metric(word)
		}
	case "key":
		l.subjectKey(m, e, r)
	case "group_by":
		l.groupBy(m, e, r)
	case "exempt":
		r.Exempt = m.prefixes(e)
	case "reset_on_ban":
		r.ResetOnBan = m.flag(e)
	case "max_bans_per_minute":
		r.MaxBansPerMinute, _ = m.count(e, 1)
	case "message":
		r.Message, _ = m.text(e)
	case "tags":
		for _, it := range m.texts(e, false) {
			r.Tags = append(r.Tags, it.text)
		}
	}
}

func (r *Rule) choose(key, word string) {
	switch key {
	case "window_edge":
		r.HalfOpen = word == "half_open"
	case "emit":
		r.Every = word == "every"
	case "action":
		r.Action = schemas.Action(word)
	case "mode":
		r.Passive = word == "passive"
	case "sensitivity":
		r.Sensitivity = word
	}
}

// expression reads what is compiled.
func (l *loader) expression(m *mapping, e *entry, r *Rule) {
	text, ok := m.text(e)
	if !ok {
		return
	}
	var err error
	switch e.key {
	case "when":
		if r.When, err = NewCondition(text); err == nil {
			l.doubtfulNames(m, e, r.When.unknownFields())
			if r.When.isNull {
				m.warn(e.line, "when: == nil never holds, as every comparison with a missing field; not (field != nil) holds where it is missing")
			}
		}
	case "pattern":
		if r.Pattern, err = newPattern(text, l.settings.settings.BodyLimit, l.caseFolding); err == nil && e.value.ShortTag() != "!!str" {
			m.warn(e.line, "pattern %s is searched as text in the body; status:%s would test the status", text, text)
		}
	case "field":
		if r.Field, err = NewField(text); err == nil && r.Field.id == fieldUnknown {
			l.doubtfulNames(m, e, []string{r.Field.first})
		}
	}
	if err != nil {
		m.refuse(e.line, "%s: %v", e.key, err)
	}
}

// doubtfulNames warns of fields that look like a slip of the schema's. They may
// still be what the events carry.
func (l *loader) doubtfulNames(m *mapping, e *entry, unknown []string) {
	known := make([]string, 0, len(eventFields))
	for name := range eventFields {
		known = append(known, name)
	}
	slices.Sort(known)
	for _, name := range unknown {
		if near := schemas.Nearest(name, known); near != "" && !strings.HasPrefix(near, name) {
			m.warn(e.line, "%s reads %s, which is no field of the event schema; is %s meant?", e.key, name, near)
		}
	}
}

func (l *loader) threshold(m *mapping, e *entry, r *Rule) {
	if r.Type != TypeRatio {
		r.Threshold, _ = m.count(e, 1)
		return
	}
	share, ok := m.decimal(e)
	switch {
	case !ok:
	case share.Sign() <= 0 || share.Cmp(big.NewRat(1, 1)) >= 0:
		m.refuse(e.line, "threshold of a ratio must lie between 0 and 1 (neither of them), it is %s", e.value.Value)
	case !share.Denom().IsInt64():
		m.refuse(e.line, "threshold %s has too many digits", e.value.Value)
	default:
		r.Share = Share{Num: share.Num().Int64(), Den: share.Denom().Int64()}
	}
}

// longestStep bounds max_step: ids further apart are neighbours of each other by nothing
// that a walk would show.
const longestStep = 1000

func (l *loader) maxStep(m *mapping, e *entry, r *Rule) {
	n, ok := m.count(e, 1)
	if ok && n > longestStep {
		m.refuse(e.line, "max_step must be %d at most, it is %d", longestStep, n)
	} else if ok {
		r.MaxStep = n
	}
}

func (l *loader) subjectKey(m *mapping, e *entry, r *Rule) {
	name, ok := m.text(e)
	if !ok {
		return
	}
	id := eventFields[name]
	switch {
	case name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "":
		m.refuse(e.line, "key must be the name of one event field, such as user_id; it is %q", name)
	case id == fieldResponseBody || id == fieldResponseFields || id == fieldStatus || id == fieldBlocked || id == fieldTimestamp || id == fieldLatencyMS:
		m.refuse(e.line, "key %s says nothing about who sent a request; examples: user_id, api_key_id", name)
	default:
		field, err := NewField(name)
		if err != nil {
			m.refuse(e.line, "key: %v", err)
			return
		}
		r.Key, r.KeyField = name, field
		if id == fieldUnknown {
			l.doubtfulNames(m, e, []string{name})
		}
	}
}

func (l *loader) groupBy(m *mapping, e *entry, r *Rule) {
	allowed := append([]string{"subject"}, groupFields...)
	if r.Learned {
		allowed = []string{"endpoint", "service", "host"}
	}
	var fields []string
	wrong := e.value == nil || e.value.Kind != yaml.SequenceNode
	for _, it := range m.texts(e, false) {
		switch {
		case !slices.Contains(allowed, it.text):
			m.refuse(it.line, "group_by does not know %q; it is made of %s%s", it.text, strings.Join(allowed, ", "), schemas.DidYouMean(it.text, allowed))
			wrong = true
		case slices.Contains(fields, it.text):
			m.refuse(it.line, "group_by names %s twice", it.text)
			wrong = true
		default:
			fields = append(fields, it.text)
		}
	}
	switch {
	case wrong:
	case r.Learned && (!slices.Contains(fields, "endpoint") || len(fields) > 2):
		m.refuse(e.line, "group_by of type %s is [endpoint], [service, endpoint] or [host, endpoint]", r.Type)
	case !r.Learned && !slices.Contains(fields, "subject"):
		m.refuse(e.line, "group_by must contain subject, such as [subject, endpoint]")
	}
	fields = slices.DeleteFunc(fields, func(f string) bool { return f == "subject" })
	slices.Sort(fields)
	r.GroupBy = fields
}

// together checks what keys mean for each other.
func (l *loader) together(m *mapping, r *Rule) {
	if r.Learned {
		if r.GroupBy == nil {
			r.GroupBy = []string{"endpoint"}
		}
		if r.Action != schemas.ActionAlert && r.Action != schemas.ActionLog {
			m.refuse(m.lineOf("action"), "action of type %s is alert or log, it is %s", r.Type, r.Action)
		}
		return
	}
	if r.Type == TypeMatch && m.find("when") == nil && m.find("pattern") == nil {
		m.refuse(m.line, "type match needs when or pattern; without them it would fire on every event")
	}
	if r.Type == TypeFrequency {
		l.frequency(m, r)
	}
	if r.Type == TypeWalk && !slices.Contains(r.GroupBy, "endpoint") {
		r.GroupBy = append(r.GroupBy, "endpoint")
		slices.Sort(r.GroupBy)
	}
	if r.ThrottleFor == 0 {
		r.ThrottleFor = r.Window
	}
	if e := m.find("throttle_for"); e != nil && r.Action != schemas.ActionThrottle {
		m.warn(e.line, "throttle_for says nothing here: it is for action: throttle, and the action is %s", r.Action)
	}
}

// lineOf gives the line of a key, that of the whole where it is absent.
func (m *mapping) lineOf(key string) int {
	if e := m.find(key); e != nil {
		return e.line
	}
	return m.line
}

// frequency makes a threshold of max_frequency: floor(events a second × seconds +
// 1e-9), reckoned with the decimals as they are written.
func (l *loader) frequency(m *mapping, r *Rule) {
	e := m.find("max_frequency")
	switch {
	case e == nil && m.find("threshold") == nil:
		m.refuse(m.line, "type frequency needs max_frequency (events per second) or threshold")
		return
	case e == nil:
		return
	case m.find("threshold") != nil:
		m.refuse(e.line, "max_frequency and threshold say the same thing; give one of them")
		return
	}
	perSecond, ok := m.decimal(e)
	if !ok {
		return
	}
	if perSecond.Sign() <= 0 {
		m.refuse(e.line, "max_frequency must be more than 0, it is %s", e.value.Value)
		return
	}
	events := new(big.Rat).Mul(perSecond, big.NewRat(r.Window, second))
	events.Add(events, big.NewRat(1, 1_000_000_000))
	threshold := new(big.Int).Quo(events.Num(), events.Denom())
	switch {
	case threshold.Sign() == 0:
		m.refuse(e.line, "max_frequency %s over a window of %s gives a threshold of 0; it must be 1 or more, so take a longer window", e.value.Value, micros(r.Window))
	case !threshold.IsInt64():
		m.refuse(e.line, "max_frequency %s is too large", e.value.Value)
	default:
		r.Threshold = threshold.Int64()
	}
}

func micros(us int64) schemas.Duration { return schemas.Duration(us * 1000) }
