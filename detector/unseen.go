package detector

import (
	"fmt"

	"github.com/apiwarden/apiwarden/schemas"
)

// An endpoint that answers, after days in which there was none like it, is a release, or
// a method or a door that nobody was meant to find. Only high sensitivity tells of it.
const (
	unseenAfter = 3 * 24 * 3600 // s of learning, before anything is called new
	unseenFor   = 3600          // s in which it is
	unseenLeast = 10            // requests in five minutes that were answered 2xx or 3xx; half of all must be
)

// judgeUnseen tells of an endpoint that has just begun to be used. What is refused, or not
// there, is what scanners ask for.
func (c *closing) judgeUnseen(e *learnedEndpoint) {
	t := &e.tally
	served := t.classes[1] + t.classes[2]
	learned := e.first - c.shard.since[e.view.id]
	if e.pool || served < unseenLeast || 2*served < t.requests || learned < unseenAfter || c.end-e.first > unseenFor {
		return
	}
	for _, r := range e.view.rules[figureUnseen] {
		if i := e.episode(figureUnseen, r); i >= 0 {
			e.episodes[i].follow(float64(t.requests))
			continue
		}
		p := episode{
			rule: r.ID, version: r.Version, figure: figureUnseen, opened: c.end - learnedPeriod, seen: (c.end - learnedPeriod) * microseconds,
			now: float64(t.requests), peak: float64(t.requests), score: 0.5 + 0.5*float64(served)/float64(served+unseenLeast), samples: learned / learnedPeriod,
		}
		c.tell(e, r, &p, schemas.PhaseOpen, p.seen, fmt.Sprintf("%s is used for the first time in %s: %d requests in five minutes, %d of them answered 2xx or 3xx",
			e.name(), spanOfTime(float64(min(learned, goneAfter))), t.requests, served))
		e.episodes = append(e.episodes, p)
	}
}
