package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"

	"github.com/spf13/cobra"
)

// profileFlag gives a command the flag --cpu-profile, for bench and for those who
// look for where time goes.
func profileFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "cpu-profile", "", "write a CPU profile to this `file`")
	if err := cmd.Flags().MarkHidden("cpu-profile"); err != nil {
		panic(err) // only for a flag that does not exist
	}
}

// profiled does what f does and writes a CPU profile of it, where a file is named.
func profiled(name string, f func() error) error {
	if name == "" {
		return f()
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("making the folder of the profile: %w", err)
	}
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("making the profile: %w", err)
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return fmt.Errorf("starting the profile: %w", err)
	}
	err = f()
	pprof.StopCPUProfile()
	if closed := file.Close(); closed != nil {
		err = errors.Join(err, fmt.Errorf("writing the profile: %w", closed))
	}
	return err
}
