package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/apiwarden/apiwarden/detector"
)

// newDocsCommand is how `make docs` writes docs/reference. It is hidden: it serves
// those who work on apiwarden.
func newDocsCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:    "docs --out DIR",
		Short:  "Write the reference pages",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return argumentError(cmd, "--out is missing: name the folder to write to")
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return fmt.Errorf("making the folder of the pages: %w", err)
			}
			for name, text := range referencePages() {
				if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o644); err != nil {
					return fmt.Errorf("writing a page: %w", err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to write to")
	return cmd
}

// referencePages makes the pages of docs/reference, by file name.
func referencePages() map[string]string {
	return map[string]string{
		"cli.md":     cliReference(),
		"config.md":  configReference(),
		"metrics.md": metricsReference(),
		"rules.md":   generatedNote + strings.TrimSpace(detector.RulesReference()) + "\n",
	}
}

const generatedNote = "<!-- Generated from the code by `make docs`. Do not edit. -->\n\n"

// cliReference describes every command that is not hidden.
func cliReference() string {
	var b bytes.Buffer
	b.WriteString(generatedNote + "# Commands\n")
	root := newRootCommand(&globals{})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	describeCommand(&b, root)
	return b.String()
}

func describeCommand(b *bytes.Buffer, cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	fmt.Fprintf(b, "\n## %s\n\n", cmd.CommandPath())
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	fmt.Fprintf(b, "%s\n", strings.TrimSpace(text))
	if cmd.Runnable() && !cmd.HasAvailableSubCommands() {
		fmt.Fprintf(b, "\n```\n%s\n```\n", cmd.UseLine())
	}
	generated := cmd.Name() == "completion" // its texts and children are cobra's own
	if cmd.HasAvailableSubCommands() && !generated {
		b.WriteString("\n| command | does |\n|---|---|\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(b, "| [%s](#%s) | %s |\n", c.Name(), anchor(c.CommandPath()), c.Short)
			}
		}
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", strings.TrimRight(cmd.Example, "\n"))
	}
	flags := cmd.NonInheritedFlags()
	flags.Lookup("help").Hidden = true
	if flags.HasAvailableFlags() {
		b.WriteString("\n| flag | default | meaning |\n|---|---|---|\n")
		flags.VisitAll(func(f *pflag.Flag) { describeFlag(b, f) })
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" && !generated {
			describeCommand(b, c)
		}
	}
}

func describeFlag(b *bytes.Buffer, f *pflag.Flag) {
	if f.Hidden {
		return
	}
	value, usage := pflag.UnquoteUsage(f)
	name := "`--" + f.Name
	if f.Shorthand != "" {
		name = "`-" + f.Shorthand + "`, " + name
	}
	if value != "" {
		name += " " + value
	}
	def := f.DefValue
	if def == "[]" || def == "false" {
		def = ""
	}
	fmt.Fprintf(b, "| %s` | %s | %s |\n", name, code(def), tableCell(usage))
}

func anchor(title string) string { return strings.ReplaceAll(strings.ToLower(title), " ", "-") }

// code sets text in code style; nothing stays nothing.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + tableCell(text) + "`"
}

// tableCell makes text fit into a cell of a table.
func tableCell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", `\|`), "\n", " ")
}
