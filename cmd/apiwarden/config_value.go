package main

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// valueOfNode reads a value of type t from a YAML node, with each ${NAME} in its
// scalars replaced by that environment variable. The error says what is wrong in
// words for whoever wrote the file.
func valueOfNode(t reflect.Type, n *yaml.Node, lookup func(string) (string, bool)) (any, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	v := reflect.New(t).Elem()
	switch {
	case unmarshalsText(t):
		text, err := scalar(n, lookup)
		if err != nil {
			return nil, err
		}
		return readText(t, text)
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return nil, fmt.Errorf("must be a list, as in [%s]", strings.TrimSpace(n.Value))
		}
		v.Set(reflect.MakeSlice(t, 0, len(n.Content)))
		for _, item := range n.Content {
			e, err := valueOfNode(t.Elem(), item, lookup)
			if err != nil {
				return nil, err
			}
			v.Set(reflect.Append(v, reflect.ValueOf(e)))
		}
		return v.Interface(), nil
	case t.Kind() == reflect.Map:
		if n.Kind != yaml.MappingNode {
			return nil, errors.New("must be a mapping, as in {name: value}")
		}
		v.Set(reflect.MakeMapWithSize(t, len(n.Content)/2))
		for i := 0; i+1 < len(n.Content); i += 2 {
			e, err := valueOfNode(t.Elem(), n.Content[i+1], lookup)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n.Content[i].Value, err)
			}
			v.SetMapIndex(reflect.ValueOf(n.Content[i].Value), reflect.ValueOf(e))
		}
		return v.Interface(), nil
	}
	text, err := scalar(n, lookup)
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, t.Bits())
		if err != nil {
			return nil, fmt.Errorf("%q is no whole number", text)
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no number", text)
		}
		v.SetFloat(f)
	default:
		return nil, fmt.Errorf("cannot be set: keys of type %s are not supported", t)
	}
	return v.Interface(), nil
}

// readText reads a value of a type that unmarshals text.
func readText(t reflect.Type, text string) (any, error) {
	p := reflect.New(t)
	if err := p.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		return nil, err
	}
	return p.Elem().Interface(), nil
}

// nodeOfText gives the YAML node that a value of type t has when it is written as
// plain text, as environment variables and flags are: lists separated by commas,
// maps as name=value pairs.
func nodeOfText(t reflect.Type, text string) (*yaml.Node, error) {
	if unmarshalsText(t) || t.Kind() != reflect.Slice && t.Kind() != reflect.Map {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strings.TrimSpace(text)}, nil
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	if t.Kind() == reflect.Map {
		n.Kind = yaml.MappingNode
	}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if n.Kind == yaml.MappingNode {
			name, value, ok := strings.Cut(item, "=")
			if !ok {
				return nil, fmt.Errorf("%q is not of the form name=value,name=value", text)
			}
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: strings.TrimSpace(name)})
			item = strings.TrimSpace(value)
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: item})
	}
	return n, nil
}

func scalar(n *yaml.Node, lookup func(string) (string, bool)) (string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return expandEnv(n.Value, lookup)
	case yaml.SequenceNode:
		return "", errors.New("must be a single value, not a list")
	default:
		return "", errors.New("must be a single value, not a mapping")
	}
}

// expandEnv replaces each ${NAME} of text with that environment variable.
func expandEnv(text string, lookup func(string) (string, bool)) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var problems []error
	out := regexp.MustCompile(`\$\{([^}]*)\}`).ReplaceAllStringFunc(text, func(m string) string {
		name := m[len("${") : len(m)-len("}")]
		value, ok := lookup(name)
		if !ok {
			problems = append(problems, fmt.Errorf("%s: there is no environment variable %s", m, name))
		}
		return value
	})
	return out, errors.Join(problems...)
}
