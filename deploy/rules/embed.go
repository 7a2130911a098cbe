// Package rules holds the shipped rules, so that `apiwarden demo` has them wherever
// it runs.
package rules

import "embed"

// FS has the rules files at its root.
//
//go:embed *.yaml
var FS embed.FS
