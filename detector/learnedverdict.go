package detector

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/apiwarden/apiwarden/schemas"
)

// tell adds a verdict of an episode, with an event time in µs.
func (c *closing) tell(e *learnedEndpoint, r *Rule, p *episode, phase schemas.Phase, at int64, sentence string) {
	score, usual := p.score, p.usual
	v := c.verdict(e, r, phase, at, sentence)
	v.Scope, v.Subject = schemas.ScopeEndpoint, e.key
	v.Count, v.WindowS, v.Score, v.Baseline = p.samples, float64(p.figure.window()), &score, &usual
	v.EpisodeID, v.VerdictID = p.id(e, "", 0), p.id(e, phase, p.reminders)
	v.Evidence.FromTime = schemas.Micros(p.opened * microseconds)
	c.found = append(c.found, found{verdict: v, end: c.end, view: e.view.id, figure: p.figure})
}

// verdict makes what the verdicts of all episodes have in common.
func (c *closing) verdict(e *learnedEndpoint, r *Rule, phase schemas.Phase, at int64, sentence string) schemas.Verdict {
	v := schemas.Verdict{
		RuleID: r.ID, RuleVersion: r.Version, RuleType: string(r.Type), Trigger: c.trigger, Endpoint: e.key,
		Action: r.Action, ActionTaken: string(r.Action), Phase: phase, Details: sentence,
		EventTime: schemas.Micros(at), DetectedAt: schemas.Micros(c.end * microseconds),
		Message: r.Message, Tags: r.Tags, Evidence: schemas.Evidence{ToTime: schemas.Micros(c.end * microseconds)},
	}
	if r.Passive {
		v.ActionTaken = schemas.TakenLoggedOnly
	}
	return v
}

// id is 128 bits of a SHA-256 over what makes an episode, or a verdict of it, the one it
// is. Reminders are numbered.
func (p *episode) id(e *learnedEndpoint, phase schemas.Phase, number int64) string {
	if phase != schemas.PhaseRemind {
		number = 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %d %s %d", p.rule, p.version, e.key, p.figure, p.opened, phase, number))
	return hex.EncodeToString(sum[:16])
}

// name is how sentences call the endpoint.
func (e *learnedEndpoint) name() string {
	switch {
	case e.pool && e.key == poolKey:
		return "rare endpoints"
	case e.pool:
		return "rare endpoints of " + e.key[len(poolKey)+1:]
	}
	return e.key
}

// openSentence says what was found, with the numbers behind it. f is in the units in
// which people read the figure.
func openSentence(e *learnedEndpoint, m figure, f *SeriesFinding) string {
	w := &figureTexts[m]
	f.Kind = SeriesNew
	s := f.Sentence(w.of+" of "+e.name(), w.unit)
	if m.isShare() {
		s += fmt.Sprintf("; %d of %d requests", e.tally.classes[w.class], e.tally.requests)
	}
	return s
}

func remindSentence(e *learnedEndpoint, p *episode, lasted int64) string {
	return fmt.Sprintf("%s, still unusual after %s: %s; %s", p.of(e), lasting(lasted), p.value(p.now), p.before())
}

// closeSentence says how an episode ended: gone or taken for what is usual.
func closeSentence(e *learnedEndpoint, p *episode, lasted int64, gone bool) string {
	how, are := "taken for usual from now on", "is"
	if gone {
		how = "as usual again"
	}
	if figureTexts[p.figure].many {
		are = "are"
	}
	most := "most"
	if p.down {
		most = "least"
	}
	return fmt.Sprintf("%s %s %s after %s: %s, at %s %s meanwhile; %s", p.of(e), are, how, lasting(lasted), p.value(p.now), most, p.value(p.peak), p.before())
}

// before says what was usual before the episode.
func (p *episode) before() string {
	if figureTexts[p.figure].many {
		return "before there were " + p.value(p.usual)
	}
	return "before it was " + p.value(p.usual)
}

func (p *episode) of(e *learnedEndpoint) string { return figureTexts[p.figure].of + " of " + e.name() }

// value writes a number of the episode with its unit.
func (p *episode) value(x float64) string {
	if unit := figureTexts[p.figure].unit; unit != "B" {
		return threeDigits(x) + spacedUnit(unit)
	}
	return bytesText(x)
}

// lasting writes seconds as a duration.
func lasting(s int64) string { return micros(s * microseconds).String() }
