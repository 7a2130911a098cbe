package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/apiwarden/apiwarden/schemas"
)

// defaultMaxRecord is the largest record that is looked at where nothing else is
// configured.
const defaultMaxRecord = sizeFlag(1 << 20)

// sizeFlag is a schemas.Size as a flag.
type sizeFlag schemas.Size

func (s *sizeFlag) Set(text string) error { return (*schemas.Size)(s).UnmarshalText([]byte(text)) }
func (s *sizeFlag) String() string        { return schemas.Size(*s).String() }
func (s *sizeFlag) Type() string          { return "size" }

func presetList() string { return strings.Join(schemas.Presets(), ", ") }

// completePresets makes the shell complete the names of presets for a flag.
func completePresets(cmd *cobra.Command, flag string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(schemas.Presets(), cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // only for a flag that does not exist
	}
}
