package detector

import (
	"unicode/utf8"

	"github.com/expr-lang/expr/vm"

	"github.com/apiwarden/apiwarden/schemas"
)

// Scratch is working space for judging one event after the other. It remembers
// what several rules need of the same event (the compact response_fields, the body
// without its case, whether it is JSON), so it must be Reset before each event. The
// zero value is ready; one per engine, one goroutine at a time, with the rules of
// one Ruleset.
type Scratch struct {
	compact []byte // response_fields without blanks
	folded  []byte // the readable text without its case
	known   scratchBits
	json    []byte // an unescaped text of the document that is looked at
	value   []byte // of Field.Value

	env     map[string]any // of conditions: the fields read so far
	machine vm.VM
}

type scratchBits uint8

const (
	haveCompact scratchBits = 1 << iota
	haveFolded
	haveValidity
	validBody
	haveEnv
)

// Reset forgets the event.
func (s *Scratch) Reset() {
	if s.known&haveEnv != 0 {
		clear(s.env)
	}
	s.known = 0
}

// text gives what text and regex patterns read of an event: the first limit bytes
// of its body, else of its response_fields as compact JSON. False: it has neither.
func (s *Scratch) text(ev *schemas.Event, limit int) ([]byte, bool) {
	switch {
	case ev.ResponseBody != nil:
		return cutText(ev.ResponseBody, limit), true
	case ev.ResponseFields != nil:
		if s.known&haveCompact == 0 {
			s.compact, s.json = compactJSON(s.compact[:0], s.json, ev.ResponseFields)
			s.known |= haveCompact
		}
		return cutText(s.compact, limit), true
	}
	return nil, false
}

// foldedText is text without its case.
func (s *Scratch) foldedText(ev *schemas.Event, limit int, cases *caseTable) ([]byte, bool) {
	if s.known&haveFolded == 0 {
		text, ok := s.text(ev, limit)
		if !ok {
			return nil, false
		}
		s.folded = cases.fold(s.folded[:0], text)
		s.known |= haveFolded
	}
	return s.folded, true
}

// document gives what json patterns read of an event: its response_fields, else
// its body. seen is false where it has neither; a body that is longer than limit,
// hence cut, or that is not one JSON value, is seen and gives nil.
func (s *Scratch) document(ev *schemas.Event, limit int) (doc []byte, seen bool) {
	switch {
	case ev.ResponseFields != nil:
		return ev.ResponseFields, true
	case ev.ResponseBody == nil:
		return nil, false
	case len(ev.ResponseBody) > limit:
		return nil, true
	}
	if s.known&haveValidity == 0 {
		s.known |= haveValidity
		if validJSON(ev.ResponseBody) {
			s.known |= validBody
		}
	}
	if s.known&validBody == 0 {
		return nil, true
	}
	return ev.ResponseBody, true
}

// cutText gives the first limit bytes of b, less where that would cut a character.
func cutText(b []byte, limit int) []byte {
	if len(b) <= limit {
		return b
	}
	cut := limit
	for cut > 0 && limit-cut < utf8.UTFMax-1 && !utf8.RuneStart(b[cut]) {
		cut--
	}
	if !utf8.RuneStart(b[cut]) {
		cut = limit // not UTF-8: nothing to keep whole
	}
	return b[:cut]
}
