package main

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// envPrefix begins the environment variable of every configuration key.
const envPrefix = "APIWARDEN_"

// key is one configuration key that takes a value.
type key struct {
	path string       // "kafka.sasl.mechanism"
	doc  string       // one line for the reference page
	typ  reflect.Type // of the field in Config
}

// env is the environment variable that sets k: the path in capitals, its dots as
// underscores.
func (k key) env() string { return envPrefix + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_")) }

// keySet is what a configuration file may say: the keys of a struct type whose
// fields carry the tags yaml and doc. A field that is a struct and does not
// unmarshal text is a section.
type keySet struct {
	keys     []key // in the order of the fields
	byPath   map[string]key
	sections map[string][]string // path of a section ("" is the file) -> names in it
}

// keysOf collects the keys of struct type t. It panics where a tag is missing:
// that is a mistake in this program, found by any test.
func keysOf(t reflect.Type) *keySet {
	s := &keySet{byPath: map[string]key{}, sections: map[string][]string{}}
	s.collect(t, "")
	return s
}

func (s *keySet) collect(t reflect.Type, section string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if option == "inline" {
			s.collect(f.Type, section)
			continue
		}
		if name == "-" {
			continue
		}
		if name == "" || f.Tag.Get("doc") == "" {
			panic(fmt.Sprintf("configuration field %s.%s lacks the tag yaml or doc", t, f.Name))
		}
		path := joinPath(section, name)
		s.sections[section] = append(s.sections[section], name)
		if f.Type.Kind() == reflect.Struct && !unmarshalsText(f.Type) {
			s.collect(f.Type, path)
			continue
		}
		k := key{path: path, doc: f.Tag.Get("doc"), typ: f.Type}
		s.keys = append(s.keys, k)
		s.byPath[path] = k
	}
}

func unmarshalsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func joinPath(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}

// suggest gives the key that the unknown name in section most likely was meant to
// be: one of the same section, else one of that name elsewhere. "" if none is near.
func (s *keySet) suggest(section, name string) string {
	if near := schemas.Nearest(name, s.sections[section]); near != "" {
		return near
	}
	for _, k := range s.keys {
		if strings.HasSuffix(k.path, "."+name) {
			return k.path
		}
	}
	var paths []string
	for _, k := range s.keys {
		paths = append(paths, k.path)
	}
	return schemas.Nearest(joinPath(section, name), paths)
}
