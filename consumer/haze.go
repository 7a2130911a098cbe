package consumer

import (
	"cmp"
	"slices"

	"github.com/apiwarden/apiwarden/schemas"
)

// haze is what cannot be known of single subjects although the horizon is behind them.
// While a subject is banned it is not counted. So where it was banned at other times than
// the rest of the log tells, that decides when it is banned next, and so on, until the
// bans of as long as the rules remember are the same ones again.
type haze struct {
	horizon schemas.Micros
	memory  schemas.Micros
	bans    map[string]map[verdictKey]hazyBan // by subject
	until   map[string]schemas.Micros         // by subject; made of bans
}

// hazyBan is a ban that the rest of the log gives, or that was found, or both.
type hazyBan struct {
	from, until    schemas.Micros
	derived, found bool
}

func newHaze() *haze {
	return &haze{horizon: noHorizon, bans: make(map[string]map[verdictKey]hazyBan)}
}

// verdict takes in a verdict that was derived from the log, or found on its topic.
func (h *haze) verdict(v *schemas.Verdict, found bool) {
	id, ok := keyOf(v.VerdictID)
	if !ok || v.Action != schemas.ActionBan || v.ExpiresAt == nil {
		return
	}
	subject := schemas.BanKey(v.Scope, v.Subject)
	of := h.bans[subject]
	if of == nil {
		of = make(map[verdictKey]hazyBan)
		h.bans[subject] = of
	}
	b, known := of[id]
	if known && b.until != *v.ExpiresAt {
		return // they differ in how long it lasts
	}
	b.from, b.until = v.EventTime, *v.ExpiresAt
	b.found, b.derived = b.found || found, b.derived || !found
	of[id] = b
}

// include takes in another haze, of other subjects or of other verdicts.
func (h *haze) include(o *haze) {
	h.horizon, h.memory = max(h.horizon, o.horizon), max(h.memory, o.memory)
	for subject, of := range o.bans {
		if h.bans[subject] == nil {
			h.bans[subject] = of
			continue
		}
		for id, b := range of {
			h.bans[subject][id] = b
		}
	}
}

// settle says for whom it lasts how long, once every ban is taken in.
func (h *haze) settle() {
	h.until = make(map[string]schemas.Micros)
	for subject, of := range h.bans {
		var differing []hazyBan
		for _, b := range of {
			if b.derived != b.found {
				differing = append(differing, b)
			}
		}
		slices.SortFunc(differing, func(a, b hazyBan) int { return cmp.Compare(a.from, b.from) })
		until := h.horizon
		for _, b := range differing {
			if b.from < until {
				until = max(until, b.from+h.memory)
			}
		}
		if until > h.horizon {
			h.until[subject] = until
		}
	}
	h.bans = nil
}

// hides says whether the verdict cannot be known.
func (h *haze) hides(v *schemas.Verdict) bool {
	return h != nil && v.EventTime < h.until[schemas.BanKey(v.Scope, v.Subject)]
}
