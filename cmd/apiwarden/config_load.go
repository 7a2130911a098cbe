package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/maps"
	"github.com/knadh/koanf/v2"

	"github.com/apiwarden/apiwarden/schemas"
)

// layer is one source of configuration, by path of key; it is a koanf.Provider.
type layer map[string]any

func (l layer) ReadBytes() ([]byte, error) {
	return nil, errors.New("a layer of configuration has no text")
}
func (l layer) Read() (map[string]any, error) { return maps.Unflatten(l, "."), nil }

// configSource says where the configuration comes from: later fields win.
type configSource struct {
	file    string   // "" means none: defaults and environment alone
	environ []string // as os.Environ gives it
	flags   layer    // what flags of the command set, by path of key
}

// loadConfig reads, merges and validates the configuration. The error is a
// *refusal with every problem found. The warnings are about environment variables
// that look like keys and are none.
func loadConfig(src configSource) (cfg Config, warnings []string, err error) {
	cfg = DefaultConfig()
	keys := keysOf(reflect.TypeOf(cfg))
	file := &configFile{}
	if src.file != "" {
		if file, err = readConfigFile(src.file, keys, os.LookupEnv); err != nil {
			return cfg, nil, refuse("%s:1: %v", src.file, err)
		}
	}
	env, warnings, problems := readEnvironment(src.environ, keys)
	problems = append(file.problems, problems...)

	// What could be read is checked although something else could not: the default
	// stands in for that, and whoever mends the file learns everything at once.
	k := koanf.New(".")
	for _, l := range []layer{file.values, env, src.flags} {
		if err := k.Load(l, nil); err != nil {
			return cfg, warnings, fmt.Errorf("merging the configuration: %w", err)
		}
	}
	if err := k.UnmarshalWithConf("", &cfg, koanf.UnmarshalConf{Tag: "yaml"}); err != nil {
		return cfg, warnings, fmt.Errorf("merging the configuration: %w", err)
	}
	if err := cfg.Validate(); err != nil {
		problems = append(problems, file.place(err, keys)...)
	}
	if len(problems) > 0 {
		return cfg, warnings, &refusal{lines: problems}
	}
	return cfg, warnings, nil
}

// readEnvironment gives the keys that environment variables set.
func readEnvironment(environ []string, keys *keySet) (values layer, warnings, problems []string) {
	byEnv := map[string]key{}
	var names []string
	for _, k := range keys.keys {
		byEnv[k.env()] = k
		names = append(names, strings.TrimPrefix(k.env(), envPrefix))
	}
	values = layer{}
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || text == "" { // set to nothing is not set
			continue
		}
		k, ok := byEnv[name]
		if !ok {
			if near := schemas.Nearest(strings.TrimPrefix(name, envPrefix), names); near != "" && !fromKubernetes(name) {
				warnings = append(warnings, fmt.Sprintf("%s is no configuration key (did you mean %s?)", name, envPrefix+near))
			}
			continue
		}
		n, err := nodeOfText(k.typ, text)
		if err == nil {
			values[k.path], err = valueOfNode(k.typ, n, os.LookupEnv)
		}
		if err != nil {
			delete(values, k.path)
			problems = append(problems, fmt.Sprintf("%s: %v", name, err))
		}
	}
	return values, warnings, problems
}

// fromKubernetes recognises the variables that Kubernetes sets for a service named
// apiwarden-*: they are nobody's mistake.
func fromKubernetes(name string) bool {
	return regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT(_\d+_(TCP|UDP)(_\w+)?)?$`).MatchString(name)
}

// place puts file and line in front of each problem that validation found: a
// problem begins with the path of the key it is about, as in
// "kafka.partitions: must be at least 1".
func (f *configFile) place(err error, keys *keySet) []string {
	lines := strings.Split(err.Error(), "\n")
	if f.name == "" {
		return lines
	}
	for i, reason := range lines {
		path := reason[:max(0, strings.IndexAny(reason, ": "))]
		if _, known := keys.byPath[path]; !known {
			if _, known = keys.sections[path]; !known {
				path = ""
			}
		}
		lines[i] = fmt.Sprintf("%s:%d: %s", f.name, f.lineOf(path), reason)
	}
	return lines
}

// lineOf gives the line of the key at path, or of the innermost section around it
// that the file has; 1 where it has none.
func (f *configFile) lineOf(path string) int {
	for path != "" {
		if line, set := f.lines[path]; set {
			return line
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
	return 1
}
