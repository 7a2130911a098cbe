package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apiwarden/apiwarden/detector"
)

// Exit statuses, fixed by contract.
const (
	statusDone        = 0
	statusFailed      = 1   // failed while running
	statusRefused     = 2   // bad flags, configuration or rules
	statusInterrupted = 130 // a second signal
)

// refusal is an error that ends the program with statusRefused: what it was asked
// to do makes no sense. Each line is printed as it is.
type refusal struct{ lines []string }

func (r *refusal) Error() string { return strings.Join(r.lines, "\n") }

// refuse makes a refusal of one line.
func refuse(format string, args ...any) error {
	return &refusal{lines: []string{fmt.Sprintf(format, args...)}}
}

// usageError is a refusal whose remedy stands in the help of a command.
type usageError struct {
	err  error
	help string // the command line that shows the help
}

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// silentFailure ends the program with statusFailed and prints nothing more: the
// command has said everything itself.
type silentFailure struct{}

func (silentFailure) Error() string { return "failed" }

// exitStatus prints err for a person and says with which status to end.
func exitStatus(stderr io.Writer, g *globals, err error) int {
	var (
		rules  *detector.Refusal
		refd   *refusal
		usage  *usageError
		silent silentFailure
	)
	switch {
	case err == nil:
		return statusDone
	case errors.As(err, &silent):
		return statusFailed
	case errors.As(err, &rules):
		for _, p := range rules.Problems {
			fmt.Fprintln(stderr, p.String())
		}
		return statusRefused
	case errors.As(err, &refd):
		for _, line := range refd.lines {
			fmt.Fprintln(stderr, line)
		}
		return statusRefused
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "apiwarden: %v\nsee: %s\n", usage.err, usage.help)
		return statusRefused
	case !g.started: // cobra found the arguments wrong before any command ran
		fmt.Fprintf(stderr, "apiwarden: %v\nsee: apiwarden --help\n", err)
		return statusRefused
	default:
		fmt.Fprintf(stderr, "apiwarden: %v\n", err)
		return statusFailed
	}
}
