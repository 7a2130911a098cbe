// Command apiwarden watches API traffic and decides which client should be
// banned, throttled, reported or noted. This package only wires: commands, one
// Config composed of each package's, logging, signals and exit status.
package main

import (
	"context"
	"io"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program: it returns the exit status. The first SIGINT or
// SIGTERM cancels the context of the command that runs, a second one ends the
// process at once with status 130.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, release := interruptible(ctx, os.Exit)
	defer release()

	g := &globals{}
	root := newRootCommand(g)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	return exitStatus(stderr, g, err)
}
