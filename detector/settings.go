package detector

import (
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// Settings are what a rules file says for all its rules. Durations are in µs.
type Settings struct {
	Passive        bool // mode: passive
	Lateness       int64
	LateDeadLetter bool // late: dead_letter
	MaxSkew        int64
	Exempt         []netip.Prefix
	Identity       schemas.Identity
	BodyLimit      int         // bytes of a response body that patterns read
	Templates      *Templates  // of endpoints; nil: none
	Escalation     *Escalation // nil: none
}

// Escalation makes the nth ban of a subject last ban_for × Factor^(n-1), Max at
// most; n starts anew once Decay has passed without a ban.
type Escalation struct {
	Factor     float64
	Max, Decay int64
}

// defaults are what rules use that do not say otherwise. Durations are in µs.
type defaults struct {
	window      int64
	halfOpen    bool
	every       bool
	action      schemas.Action
	banFor      int64
	throttleFor int64 // 0: the rule's window
}

const (
	rulesFormat = "1"

	second = int64(1_000_000)
	hour   = 3600 * second

	defaultBodyLimit = 256 << 10
)

// settingsReader gathers the settings of one file after the other.
type settingsReader struct {
	settings  Settings
	defaults  defaults
	endpoints []EndpointPattern
	given     map[string]Problem // scalars, by path, and where they were given
	version   bool               // given
}

func newSettingsReader() settingsReader {
	return settingsReader{
		settings: Settings{Lateness: 30 * second, MaxSkew: 300 * second, BodyLimit: defaultBodyLimit},
		defaults: defaults{window: hour, action: schemas.ActionLog, banFor: hour},
		given:    make(map[string]Problem),
	}
}

// read takes the settings of one file. The rules themselves are left for later.
func (r *settingsReader) read(m *mapping) {
	s := &r.settings
	for i := range m.entries {
		e := &m.entries[i]
		switch e.key {
		case "rules":
		case "version":
			r.readVersion(m, e)
		case "exempt":
			if !isNull(e.value) {
				s.Exempt = append(s.Exempt, m.prefixes(e)...)
			}
		case "trusted_proxies":
			if !isNull(e.value) {
				s.Identity.TrustedProxies = append(s.Identity.TrustedProxies, m.prefixes(e)...)
			}
		case "endpoints":
			if !isNull(e.value) {
				r.endpoints = append(r.endpoints, m.endpointPatterns(e, false)...)
			}
		case "defaults", "subject", "escalation":
			r.section(m, e)
		case "mode", "late", "lateness", "max_skew", "body_limit":
			if r.once(m, e, e.key) {
				r.scalar(m, e)
			}
		default:
			m.refuse(e.line, "unknown key %s%s", e.key, schemas.DidYouMean(e.key, topNames(topKeys)))
		}
	}
}

func (r *settingsReader) readVersion(m *mapping, e *entry) {
	text, ok := m.text(e)
	if ok && strings.TrimSpace(text) != rulesFormat {
		m.refuse(e.line, "version %s is not known; this program reads version: %s", text, rulesFormat)
	}
	r.version = true
}

func (r *settingsReader) scalar(m *mapping, e *entry) {
	s := &r.settings
	switch e.key {
	case "mode":
		mode, _ := m.oneOf(e, []string{"active", "passive"})
		s.Passive = mode == "passive"
	case "late":
		late, _ := m.oneOf(e, []string{"drop", "dead_letter"})
		s.LateDeadLetter = late == "dead_letter"
	case "lateness":
		if d, ok := m.duration(e, 0); ok {
			s.Lateness = d
		}
	case "max_skew":
		if d, ok := m.duration(e, 0); ok {
			s.MaxSkew = d
		}
	case "body_limit":
		text, ok := m.text(e)
		if !ok {
			return
		}
		var size schemas.Size
		if err := size.UnmarshalText([]byte(text)); err != nil {
			m.refuse(e.line, "body_limit: %v", err)
		} else if size < 1 || size > math.MaxInt32 {
			m.refuse(e.line, "body_limit must lie between 1 byte and 2 GiB, it is %s", text)
		} else {
			s.BodyLimit = int(size)
		}
	}
}

// once says whether a scalar is given for the first time, and refuses it else.
func (r *settingsReader) once(m *mapping, e *entry, path string) bool {
	if first, ok := r.given[path]; ok {
		m.refuse(e.line, "%s is given twice, first at %s:%d", path, first.File, first.Line)
		return false
	}
	r.given[path] = Problem{File: m.file, Line: e.line}
	return true
}

// section reads one of the mappings. Several files may each give some of its keys.
func (r *settingsReader) section(top *mapping, e *entry) {
	if isNull(e.value) {
		return
	}
	at := *top
	m, ok := newMapping(at.report, at.file, e.key, e.value)
	if !ok {
		return
	}
	var known []string
	for _, k := range topKeys {
		if k.name == e.key {
			known = topNames(k.keys)
		}
	}
	if e.key == "escalation" && r.settings.Escalation == nil {
		r.settings.Escalation = &Escalation{Factor: 2, Max: 168 * hour, Decay: 720 * hour}
	}
	for i := range m.entries {
		k := &m.entries[i]
		switch {
		case !slices.Contains(known, k.key):
			m.refuse(k.line, "unknown key %s%s", k.key, schemas.DidYouMean(k.key, known))
		case !r.once(m, k, e.key+"."+k.key):
		case e.key == "defaults":
			r.defaults.read(m, k)
		case e.key == "subject":
			r.prefixLength(m, k)
		default:
			r.escalation(m, k)
		}
	}
}

func (d *defaults) read(m *mapping, e *entry) {
	switch e.key {
	case "window":
		readDuration(m, e, &d.window)
	case "ban_for":
		readDuration(m, e, &d.banFor)
	case "throttle_for":
		readDuration(m, e, &d.throttleFor)
	default:
		if word, ok := m.oneOf(e, keyOf(e.key).values); ok {
			switch e.key {
			case "window_edge":
				d.halfOpen = word == "half_open"
			case "emit":
				d.every = word == "every"
			case "action":
				d.action = schemas.Action(word)
			}
		}
	}
}

// readDuration reads a duration longer than 0.
func readDuration(m *mapping, e *entry, to *int64) {
	if d, ok := m.duration(e, 1); ok {
		*to = d
	}
}

func (r *settingsReader) prefixLength(m *mapping, e *entry) {
	to, longest := &r.settings.Identity.IPv4Prefix, int64(32)
	if e.key == "ipv6_prefix" {
		to, longest = &r.settings.Identity.IPv6Prefix, 128
	}
	n, ok := m.count(e, 1)
	if ok && n > longest {
		m.refuse(e.line, "%s must be %d at most, it is %d", e.key, longest, n)
	} else if ok {
		*to = int(n)
	}
}

func (r *settingsReader) escalation(m *mapping, e *entry) {
	to := r.settings.Escalation
	switch e.key {
	case "factor":
		if f, ok := m.factor(e); ok {
			to.Factor = f
		}
	case "max":
		readDuration(m, e, &to.Max)
	case "decay":
		readDuration(m, e, &to.Decay)
	}
}

// finish checks what only all files together can show.
func (r *settingsReader) finish(first *mapping) {
	if !r.version {
		first.refuse(1, "version is missing; write version: %s", rulesFormat)
	}
}
