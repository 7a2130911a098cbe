package detector

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// Seen is what a rule makes of an event with its pattern.
type Seen uint8

const (
	NotSeen    Seen = iota // no body to look at: the rule does not see the event
	Missed                 // seen, does not match
	Matched                // seen, matches
	Unreadable             // seen, does not match, because the body is cut or is not JSON; counted
)

// Pattern is what a rule looks for in a response. It is immutable and safe for
// concurrent use. Of text (without a prefix), regex:, json: and status: exactly one
// is set.
type Pattern struct {
	text   string // as written
	limit  int    // bytes of the body that are read
	needle []byte // text: without its case
	cases  *caseTable
	regex  *regexp.Regexp
	json   *jsonTest
	status *statusSet
}

const (
	regexPrefix  = "regex:"
	jsonPrefix   = "json:"
	statusPrefix = "status:"
)

// NewPattern compiles a pattern that reads the first bodyLimit bytes of a body.
func NewPattern(text string, bodyLimit int) (*Pattern, error) {
	return newPattern(text, bodyLimit, newCaseTable)
}

// newPattern takes the table of cases from its maker, so that patterns share one.
func newPattern(text string, bodyLimit int, cases func() *caseTable) (*Pattern, error) {
	p := &Pattern{text: text, limit: bodyLimit}
	var err error
	switch {
	case strings.HasPrefix(text, regexPrefix):
		p.regex, err = compileRegex(text[len(regexPrefix):])
	case strings.HasPrefix(text, jsonPrefix):
		p.json, err = parseJSONTest(text[len(jsonPrefix):])
	case strings.HasPrefix(text, statusPrefix):
		p.status, err = parseStatusSet(text[len(statusPrefix):])
	default:
		if err = checkText(text); err == nil {
			p.cases = cases()
			p.needle = p.cases.fold(nil, []byte(text))
		}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func checkText(text string) error {
	if strings.TrimSpace(text) == "" {
		return errors.New("it is empty, which would match every response")
	}
	for _, prefix := range [...]string{regexPrefix, jsonPrefix, statusPrefix} {
		start := strings.TrimSpace(text)
		if len(start) >= len(prefix) && strings.EqualFold(start[:len(prefix)], prefix) {
			return fmt.Errorf("%q would be searched as text; the prefix is written %s (small letters, nothing before it)", text, prefix)
		}
	}
	return nil
}

// compileRegex compiles RE2 syntax without regard to case.
func compileRegex(expr string) (*regexp.Regexp, error) {
	if expr == "" {
		return nil, errors.New("regex: the expression is empty, which would match every response")
	}
	if _, err := syntax.Parse(expr, syntax.Perl|syntax.FoldCase); err != nil {
		return nil, describeRegex(expr, err)
	}
	re, err := regexp.Compile("(?i)" + expr)
	if err != nil {
		return nil, describeRegex(expr, err)
	}
	return re, nil
}

// describeRegex says what is wrong where: the position in characters, from 1.
func describeRegex(expr string, err error) error {
	var bad *syntax.Error
	if !errors.As(err, &bad) {
		return fmt.Errorf("regex %q: %w", expr, err)
	}
	at := strings.Index(expr, bad.Expr)
	if at < 0 || bad.Expr == "" {
		return fmt.Errorf("regex %q: %s", expr, bad.Code)
	}
	if bad.Expr == expr {
		at = regexFault(expr, bad.Code)
	}
	return fmt.Errorf("regex %q: %s at position %d: %q", expr, bad.Code, len([]rune(expr[:at]))+1, bad.Expr)
}

// regexFault finds what an error that quotes the whole expression is about.
func regexFault(expr string, code syntax.ErrorCode) int {
	switch code {
	case syntax.ErrMissingParen:
		return unclosed(expr)
	case syntax.ErrUnexpectedParen:
		return strings.LastIndexByte(expr, ')')
	}
	return 0
}

// unclosed gives the place of the last ( that nothing closes.
func unclosed(expr string) int {
	var open []int
	class := false
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; {
		case c == '\\':
			i++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '(' && !class:
			open = append(open, i)
		case c == ')' && !class && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	if len(open) == 0 {
		return 0
	}
	return open[len(open)-1]
}

// Match says what the pattern makes of an event. Text and regex patterns read the
// response_body, and response_fields as compact JSON where there is no body; json
// patterns read response_fields as they stand, and the body where there are none.
// An empty body is a body.
func (p *Pattern) Match(ev *schemas.Event, s *Scratch) Seen {
	switch {
	case p.status != nil:
		return seen(p.status.has(ev.Status))
	case p.json != nil:
		doc, ok := s.document(ev, p.limit)
		switch {
		case !ok:
			return NotSeen
		case doc == nil:
			return Unreadable
		}
		return seen(p.json.holds(doc, s))
	case p.regex != nil:
		text, ok := s.text(ev, p.limit)
		if !ok {
			return NotSeen
		}
		return seen(p.regex.Match(text))
	}
	text, ok := s.foldedText(ev, p.limit, p.cases)
	if !ok {
		return NotSeen
	}
	return seen(bytes.Contains(text, p.needle))
}

func seen(matches bool) Seen {
	if matches {
		return Matched
	}
	return Missed
}

// Status gives the test of a status: pattern, which the status alone decides; false
// for all others.
func (p *Pattern) Status() (func(status uint16) bool, bool) {
	if p.status == nil {
		return nil, false
	}
	return p.status.has, true
}

// String gives the pattern as it was written.
func (p *Pattern) String() string { return p.text }
