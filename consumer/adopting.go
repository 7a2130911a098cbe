package consumer

import (
	"fmt"
	"sync/atomic"

	"github.com/apiwarden/apiwarden/detector"
)

// rulesInForce are the rules that a role works by, which a reload replaces while it
// runs. The role looks for others once a turn.
type rulesInForce = atomic.Pointer[detector.Program]

// Adopt has detect judge by other rules from the next records on. Counts of rules with
// the same id and version stay. An error says why it goes on with those it has. Safe
// for concurrent use.
func (d *Detect) Adopt(p *detector.Program) error {
	if err := d.cfg.validateRules(p); err != nil {
		return err
	}
	if learns(p) && d.readers.Load() < 0 {
		return fmt.Errorf("rules that learn need topic %s, which is missing: create it and start detect anew", d.cfg.Topics.EndpointStats)
	}
	d.rules.Store(p)
	return nil
}

// Adopt has store name subjects and endpoints by other rules from the next records on.
// Safe for concurrent use.
func (s *Store) Adopt(p *detector.Program) { s.rules.Store(p) }

// Adopt has records keyed by other rules from the next transaction on. Safe for
// concurrent use.
func (r *Rekey) Adopt(p *detector.Program) { r.rules.Store(p) }

// learns says whether there are rules that judge endpoints by what was learned of them.
func learns(p *detector.Program) bool { return len(p.Views()) > 0 }

// adopt takes other rules over where somebody has given the role some. Partitions that
// are live change at once, so that no record is judged by two minds; those that still
// read again have rules of their own and follow when they are live.
func (s *session) adopt() error {
	p := s.detect.rules.Load()
	if p == s.rules.program {
		return nil
	}
	return s.useRules(p)
}

// useRules makes what records are judged with, for the loop and each judge.
func (s *session) useRules(p *detector.Program) error {
	input := s.cfg.Input.decoderOptions()
	rules, err := newRuleset(p, input)
	if err != nil {
		return err
	}
	s.rules = rules
	for _, j := range s.judges {
		if j.ruleset, err = newRuleset(p, input); err != nil {
			return err
		}
		if s.cfg.Input.Rekey {
			j.sources = &sources{logs: s.cfg.Topics.Logs, keys: p.Keys()}
		}
	}
	return nil
}
