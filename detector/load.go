package detector

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ReadRules reads a rules file, or the *.yaml of a folder (without *.test.yaml) in
// name order: lists join, a scalar must not be given twice, ids are unique over all
// files. The error is a *Refusal with every problem, those of opening and of YAML
// too.
func ReadRules(path string) (*Ruleset, error) {
	l := newLoader()
	for _, file := range l.files(path) {
		l.parse(file)
	}
	return l.rules()
}

// readRules reads one file that is in memory already.
func readRules(name string, text []byte) (*Ruleset, error) {
	l := newLoader()
	l.document(name, text)
	return l.rules()
}

// loader holds what is known while rules are read.
type loader struct {
	report
	tops     []*mapping // one a file
	settings settingsReader
	ids      map[string]Problem // where each id was first given
	cases    *caseTable
	source   Source
}

func newLoader() *loader {
	return &loader{settings: newSettingsReader(), ids: make(map[string]Problem)}
}

// files lists what there is to read.
func (l *loader) files(path string) []string {
	about, err := os.Stat(path)
	if err != nil {
		l.refuse(path, 1, "reading rules: %v", reason(err))
		return nil
	}
	if !about.IsDir() {
		return []string{path}
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		l.refuse(path, 1, "reading rules: %v", reason(err))
		return nil
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		switch {
		case e.IsDir() || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".test.yaml"):
		case strings.HasSuffix(name, ".yaml"):
			files = append(files, filepath.Join(path, name))
		case strings.HasSuffix(name, ".yml"):
			l.warn(filepath.Join(path, name), 1, "the file is not read: rules files of a folder are named *.yaml")
		}
	}
	if len(files) == 0 {
		l.refuse(path, 1, "the folder has no *.yaml file")
	}
	return files
}

// reason leaves out the path of a file error, which stands in front already.
func reason(err error) error {
	var about *fs.PathError
	if errors.As(err, &about) {
		return about.Err
	}
	return err
}

func (l *loader) parse(file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		l.refuse(file, 1, "reading rules: %v", reason(err))
		return
	}
	l.document(file, text)
}

// document takes the one YAML document of a file.
func (l *loader) document(file string, text []byte) {
	l.source.keep(file, text)
	d := yaml.NewDecoder(bytes.NewReader(text))
	var first yaml.Node
	switch err := d.Decode(&first); {
	case errors.Is(err, io.EOF):
		l.refuse(file, 1, "the file is empty; it must begin with version: 1")
		return
	case err != nil:
		l.refuseYAML(file, err)
		return
	}
	var second yaml.Node
	switch err := d.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		l.refuseYAML(file, err)
		return
	case len(second.Content) > 0 && !isNull(second.Content[0]):
		l.refuse(file, second.Line, "a second YAML document begins here; a rules file is one document")
		return
	}
	top, ok := newMapping(&l.report, file, "", first.Content[0])
	if !ok {
		return
	}
	l.tops = append(l.tops, top)
}

// yamlLine finds the line in an error of the YAML parser.
const yamlLine = `^(?:yaml: )?(?:line (\d+): )?`

func (l *loader) refuseYAML(file string, err error) {
	text := err.Error()
	line := 1
	if m := regexp.MustCompile(yamlLine).FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	l.refuse(file, line, "no valid YAML: %s", text)
}

// rules reads everything, settings and defaults of all files first, because the
// rules of all files use them.
func (l *loader) rules() (*Ruleset, error) {
	set := &Ruleset{source: l.source}
	hasRules := false
	for _, top := range l.tops {
		l.settings.read(top)
		hasRules = hasRules || top.find("rules") != nil
	}
	if len(l.tops) > 0 {
		l.settings.finish(l.tops[0])
		if !hasRules {
			l.tops[0].refuse(1, "rules are missing")
		}
	}
	for _, top := range l.tops {
		if e := top.find("rules"); e != nil {
			set.Rules = append(set.Rules, l.list(top, e)...)
		}
	}
	if err := l.refusal(); err != nil {
		return nil, err
	}
	set.Settings = l.settings.settings
	if len(l.settings.endpoints) > 0 {
		var spelled []EndpointPattern
		for _, r := range set.Rules {
			spelled = append(spelled, r.Endpoints...)
		}
		set.Settings.Templates = NewTemplates(l.settings.endpoints, spelled)
	}
	if len(set.Rules) == 0 {
		l.tops[0].warn(1, "there is no rule: nothing is judged")
	}
	byPlace(l.warnings)
	set.Warnings = l.warnings
	return set, nil
}

// list reads the rules of one file.
func (l *loader) list(top *mapping, e *entry) []*Rule {
	if isNull(e.value) {
		return nil
	}
	if e.value == nil || e.value.Kind != yaml.SequenceNode {
		top.refuse(e.line, "rules must be a list, it is %s", kindOf(e.value))
		return nil
	}
	var rules []*Rule
	for i, node := range e.value.Content {
		m, ok := newMapping(&l.report, top.file, fmt.Sprintf("rule number %d", i+1), node)
		if !ok {
			continue
		}
		rules = append(rules, l.rule(m))
	}
	return rules
}

// caseFolding gives the one table that the patterns of these rules share.
func (l *loader) caseFolding() *caseTable {
	if l.cases == nil {
		l.cases = newCaseTable()
	}
	return l.cases
}
