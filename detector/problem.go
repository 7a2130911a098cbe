package detector

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong (or, as a warning, doubtful) in a rules file.
type Problem struct {
	File   string // as given to ReadRules, for a folder joined with the file's name
	Line   int    // from 1
	Reason string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Reason) }

// Refusal is the error of rules that cannot be used. It holds every problem found,
// by file and line.
type Refusal struct {
	Problems []Problem
}

// Error gives one line a problem.
func (r *Refusal) Error() string {
	lines := make([]string, len(r.Problems))
	for i, p := range r.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// report collects what is found while rules are read.
type report struct {
	problems []Problem
	warnings []Problem
}

func (r *report) refuse(file string, line int, format string, args ...any) {
	r.problems = append(r.problems, newProblem(file, line, format, args...))
}

func (r *report) warn(file string, line int, format string, args ...any) {
	r.warnings = append(r.warnings, newProblem(file, line, format, args...))
}

// newProblem keeps a reason on one line, whatever it quotes.
func newProblem(file string, line int, format string, args ...any) Problem {
	reason := fmt.Sprintf(format, args...)
	reason = strings.Join(strings.FieldsFunc(reason, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	return Problem{File: file, Line: max(line, 1), Reason: reason}
}

// refusal gives the error of what was found, nil if nothing is wrong.
func (r *report) refusal() error {
	if len(r.problems) == 0 {
		return nil
	}
	byPlace(r.problems)
	return &Refusal{Problems: r.problems}
}

func byPlace(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}
