package detector

import (
	"fmt"

	"github.com/apiwarden/apiwarden/schemas"
)

// An endpoint that answers, after days in which there was none like it, is a release, or
// a method or a door that nobody was meant to find.
const unseenFor = 3600 // s in which it is new

// unseenTolerance is what a sensitivity stands for where the first use of an endpoint is judged.
type unseenTolerance struct {
	after  int64 // s of learning before anything is called new
	served int64 // requests in five minutes that were answered 2xx or 3xx, at least
	half   bool  // half of all requests must be
}

var unseenTolerances = [...]unseenTolerance{
	SensitivityLow:    {after: goneAfter, served: 50, half: true}, // what is done once a week is known then
	SensitivityNormal: {after: goneAfter, served: 10, half: true},
	SensitivityHigh:   {after: 3 * 86400, served: 1},
}

// judgeUnseen tells of an endpoint that has just begun to be used. What is refused, or not
// there, is what scanners ask for.
func (c *closing) judgeUnseen(e *learnedEndpoint) {
	t := &e.tally
	served := t.served()
	learned := e.served - c.shard.since[e.view.id]
	if e.pool || served == 0 || c.end-e.served > unseenFor {
		return
	}
	for _, r := range e.view.rules[figureUnseen] {
		if i := e.episode(figureUnseen, r); i >= 0 {
			e.episodes[i].follow(float64(t.requests))
			continue
		}
		if least := &unseenTolerances[SensitivityOf(r.Sensitivity)]; learned < least.after || served < least.served || least.half && 2*served < t.requests {
			continue
		}
		p := episode{
			rule: r.ID, version: r.Version, figure: figureUnseen, opened: c.end - learnedPeriod, seen: (c.end - learnedPeriod) * microseconds,
			now: float64(t.requests), peak: float64(t.requests), score: 0.5 + 0.5*float64(served)/float64(served+unseenTolerances[SensitivityNormal].served), samples: learned / learnedPeriod,
		}
		c.tell(e, r, &p, schemas.PhaseOpen, p.seen, unseenSentence(e, learned))
		e.episodes = append(e.episodes, p)
	}
}

// unseenSentence says what was found of an endpoint that begins to be used after so many
// seconds of learning.
func unseenSentence(e *learnedEndpoint, learned int64) string {
	t := &e.tally
	until := ""
	if e.served-e.first >= learnedPeriod {
		until = ", after nothing but errors"
	}
	s := fmt.Sprintf("%s is used for the first time in %s%s: ", e.name(), spanOfTime(float64(min(learned, goneAfter))), until)
	if t.requests == 1 {
		return s + "one request, answered 2xx or 3xx"
	}
	return s + fmt.Sprintf("%d requests in five minutes, %d of them answered 2xx or 3xx", t.requests, t.served())
}
