package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// configFile is what one configuration file says, checked against the known keys.
type configFile struct {
	name     string // as the user gave it, for problems
	keys     *keySet
	lookup   func(string) (string, bool) // environment
	values   map[string]any              // path of a key -> its value, of the key's type
	lines    map[string]int              // path of a key or section -> its line
	problems []string
}

// readConfigFile reads and checks name. All that is wrong stands in problems; the
// error is only that the file cannot be read at all.
func readConfigFile(name string, keys *keySet, lookup func(string) (string, bool)) (*configFile, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	f := &configFile{name: name, keys: keys, lookup: lookup, values: map[string]any{}, lines: map[string]int{}}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, next yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return f, nil
	} else if err != nil {
		f.syntaxProblem(err)
		return f, nil
	}
	f.section("", doc.Content[0])
	if err := dec.Decode(&next); err == nil {
		f.problem(next.Line, "a second YAML document; only one is read")
	} else if !errors.Is(err, io.EOF) {
		f.syntaxProblem(err)
	}
	return f, nil
}

// section checks the mapping at path and everything in it.
func (f *configFile) section(path string, n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		what := "the file"
		if path != "" {
			what = path
		}
		f.problem(n.Line, "%s must be a mapping with the keys %s", what, strings.Join(f.keys.sections[path], ", "))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		p := joinPath(path, name.Value)
		if first, twice := f.lines[p]; twice {
			f.problem(name.Line, "%s is set twice (first in line %d)", p, first)
			continue
		}
		if _, ok := f.keys.sections[p]; ok {
			f.lines[p] = name.Line
			f.section(p, value)
			continue
		}
		k, ok := f.keys.byPath[p]
		if !ok {
			f.unknown(path, name)
			continue
		}
		f.lines[p] = name.Line
		if value.Tag == "!!null" { // "ca:" with nothing after it: the default
			continue
		}
		v, err := valueOfNode(k.typ, value, f.lookup)
		if err != nil {
			f.problem(value.Line, "%s: %v", p, err)
			continue
		}
		f.values[p] = f.resolve(k, v)
	}
}

// resolve makes a file named in the configuration relative to the configuration
// file, so that it means the same wherever the program is started.
func (f *configFile) resolve(k key, v any) any {
	name, ok := v.(string)
	if !ok || !k.namesFile() || name == "" || filepath.IsAbs(name) {
		return v
	}
	return filepath.Join(filepath.Dir(f.name), name)
}

// namesFile says whether the value of k is the name of a file.
func (k key) namesFile() bool {
	last := k.path[strings.LastIndexByte(k.path, '.')+1:]
	if strings.HasSuffix(last, "_file") || k.path == "rules" {
		return true
	}
	return strings.Contains(k.path, "tls.") && (last == "ca" || last == "cert" || last == "key")
}

func (f *configFile) unknown(section string, name *yaml.Node) {
	in := ""
	if section != "" {
		in = " in " + section
	}
	hint := ""
	if near := f.keys.suggest(section, name.Value); near != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	f.problems = append(f.problems, fmt.Sprintf("%s:%d:%d: unknown key %q%s%s", f.name, name.Line, name.Column, name.Value, in, hint))
}

func (f *configFile) problem(line int, format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf("%s:%d: %s", f.name, line, fmt.Sprintf(format, args...)))
}

// syntaxProblem turns the YAML parser's "yaml: line 3: ..." into a problem.
func (f *configFile) syntaxProblem(err error) {
	reason, line := strings.TrimPrefix(err.Error(), "yaml: "), 1
	if m := regexp.MustCompile(`^line (\d+): (.*)`).FindStringSubmatch(reason); m != nil {
		line, _ = strconv.Atoi(m[1])
		reason = m[2]
	}
	f.problem(line, "not YAML: %s", reason)
}
