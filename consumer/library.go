package consumer

import (
	"sync"

	"go.uber.org/zap"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// library compiles the rules that journals name, each of them once. It is safe for
// concurrent use.
type library struct {
	current *rulesInForce // stand in for rules that cannot be loaded
	input   schemas.Options

	mu       sync.Mutex
	programs map[string]*detector.Program // by the hash that a journal knows them by
}

func newLibrary(current *rulesInForce, input schemas.Options) *library {
	return &library{current: current, input: input, programs: make(map[string]*detector.Program)}
}

// rewind makes the engine of a partition, with nothing counted, by the rules and
// bounds that its journal says held before p.next, and the steps from there on. What
// changes at p.next is a step: a snapshot may have been taken there before it changed, and
// what changes twice and back again is not as it was.
func (l *library) rewind(p *partition) error {
	j := p.journal
	n := j.before(p.next)
	hash, b := j.inForce(n)
	var err error
	if p.rules, err = l.rulesOf(j, hash, p.replay.log); err != nil {
		return err
	}
	for _, e := range j.Entries[n:] {
		st := step{entry: e}
		if e.Rules != "" {
			if st.rules, err = l.rulesOf(j, e.Rules, p.replay.log); err != nil {
				return err
			}
		}
		p.replay.steps = append(p.replay.steps, st)
	}
	p.engine = newEngine(p.tp, j, p.rules.program, b)
	return nil
}

// resume ends restoring: the engine judges from p.next on, and knows what people had
// changed before.
func (p *partition) resume() {
	p.engine.Begin(p.next)
	for _, e := range p.journal.Entries[:p.journal.before(p.next)] {
		if e.Kind == entryControl {
			p.engine.Control(e.Offset, e.Control.control())
		}
	}
}

// rulesOf gives the rules that a journal names, compiled from its text, with a decoder
// of the partition's own.
func (l *library) rulesOf(j *journal, hash string, log *zap.Logger) (*ruleset, error) {
	return newRuleset(l.program(j, hash, log), l.input)
}

func (l *library) program(j *journal, hash string, log *zap.Logger) *detector.Program {
	current := l.current.Load()
	if hash == current.Hash() {
		return current
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.programs[hash]
	if p == nil {
		var err error
		switch p, err = detector.LoadSource(j.Rules[hash]); {
		case err != nil:
			log.Error("rules of the journal cannot be loaded: what they judged is read again with the present ones", zap.String("rules_hash", hash), zap.Error(err))
			p = current
		case p.Hash() != hash:
			log.Warn("rules of the journal decide otherwise in this release: counts of rules that changed start empty", zap.String("rules_hash", hash))
		}
		l.programs[hash] = p
	}
	return p
}
