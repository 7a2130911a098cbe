package detector

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// EndpointPattern is "METHOD template" of a rule or of the endpoints list, made
// ready to match. Parts of a path are what stands between slashes; "/a" and "/a/"
// are two paths. It is immutable.
type EndpointPattern struct {
	method string // "*": any
	path   string // as written
	parts  []pathPart
	rest   bool // a trailing **: anything, also nothing, may follow
}

// pathPart is one part of a pattern.
type pathPart struct {
	kind           partKind
	text           string // literal
	prefix, suffix string // param: what stands around it, as in {name}.json
}

type partKind uint8

const (
	partLiteral partKind = iota
	partParam            // {id}, :id, <id>
	partAny              // *
)

// ParseEndpoint reads "METHOD template". METHOD is in capitals, or * for any. In
// the template * stands for any one part, a trailing ** for the rest, {x} (also :x
// or <x>) for a parameter.
func ParseEndpoint(text string) (EndpointPattern, error) {
	fields := strings.Fields(text)
	switch {
	case len(fields) == 0:
		return EndpointPattern{}, errors.New(`it is empty; write METHOD template, such as "GET /users/{id}"`)
	case len(fields) == 1 && strings.HasPrefix(fields[0], "/"):
		return EndpointPattern{}, fmt.Errorf("%q has no method; write \"GET %s\", or \"* %s\" for any method", text, fields[0], fields[0])
	case len(fields) != 2:
		return EndpointPattern{}, fmt.Errorf("%q is not METHOD template, such as \"GET /users/{id}\"", text)
	}
	p := EndpointPattern{method: fields[0], path: fields[1]}
	if p.method != "*" && !isMethod(p.method) {
		if up := strings.ToUpper(p.method); isMethod(up) {
			return p, fmt.Errorf("method %q must be in capitals: \"%s %s\"", p.method, up, p.path)
		}
		return p, fmt.Errorf("%q is no method; write METHOD template, such as \"GET /users/{id}\"", p.method)
	}
	if !strings.HasPrefix(p.path, "/") {
		return p, fmt.Errorf("template %q does not start with / (\"%s /**\" is every path)", p.path, p.method)
	}
	if strings.ContainsAny(p.path, "?#") {
		return p, fmt.Errorf("template %q has a query string; endpoints are told apart by their path alone", p.path)
	}
	texts := strings.Split(p.path[1:], "/")
	for i, text := range texts {
		if text == "**" && i == len(texts)-1 {
			p.rest = true
			break
		}
		part, err := parsePathPart(text)
		if err != nil {
			return p, fmt.Errorf("template %q: %w", p.path, err)
		}
		p.parts = append(p.parts, part)
	}
	return p, nil
}

// isMethod says whether s is a token of capitals (RFC 9110 tokens are wider; no
// method in use is).
func isMethod(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (i == 0 || c != '-' && c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

func parsePathPart(text string) (pathPart, error) {
	if text == "*" {
		return pathPart{kind: partAny}, nil
	}
	if open := strings.IndexByte(text, '{'); open >= 0 {
		end := strings.LastIndexByte(text, '}')
		if end < open+1 || strings.IndexByte(text[end:], '{') >= 0 {
			return pathPart{}, fmt.Errorf("part %q has an unclosed {", text)
		}
		if strings.Contains(text[open:end], "}") {
			return pathPart{}, fmt.Errorf("part %q has more than one parameter", text)
		}
		return pathPart{kind: partParam, prefix: text[:open], suffix: text[end+1:]}, nil
	}
	if strings.Contains(text, "*") {
		return pathPart{}, fmt.Errorf("part %q: * stands for one whole part, ** for the rest at the end", text)
	}
	if isParam(text) {
		return pathPart{kind: partParam}, nil
	}
	return pathPart{kind: partLiteral, text: text}, nil
}

// isParam says whether one whole part of a route is a parameter in the style of
// some framework: {id}, :id, <int:id>, *rest.
func isParam[T string | []byte](part T) bool {
	n := len(part)
	if n == 0 {
		return false
	}
	switch part[0] {
	case '*':
		return true
	case ':':
		return n > 1
	case '{':
		return n > 1 && part[n-1] == '}'
	case '<':
		return n > 2 && part[n-1] == '>'
	}
	return false
}

// String gives the pattern as it was written.
func (p *EndpointPattern) String() string { return p.method + " " + p.path }

// canonical gives the pattern without what decides nothing: names of parameters.
func (p *EndpointPattern) canonical() string {
	var b strings.Builder
	b.WriteString(p.method + " ")
	for _, part := range p.parts {
		switch part.kind {
		case partLiteral:
			b.WriteString("/" + part.text)
		case partParam:
			b.WriteString("/" + part.prefix + "{}" + part.suffix)
		case partAny:
			b.WriteString("/*")
		}
	}
	if p.rest {
		b.WriteString("/**")
	}
	return b.String()
}

// Match says whether an endpoint is one of the pattern's. path is a route template
// (isTemplate), where {x} matches a parameter of any name and style, or a path,
// raw or folded, where {x} matches any one part that is not empty. Safe for
// concurrent use; does not allocate.
func (p *EndpointPattern) Match(method, path []byte, isTemplate bool) bool {
	if p.method != "*" && string(method) != p.method {
		return false
	}
	if len(path) > 0 && path[0] == '/' {
		path = path[1:]
	} else if !isTemplate { // a route may come without its first slash, a path that does is none
		return p.rest && len(p.parts) == 0
	}
	more := true
	for i := range p.parts {
		if !more {
			return false
		}
		var part []byte
		if part, path, more = bytes.Cut(path, slash); !p.parts[i].matches(part, isTemplate) {
			return false
		}
	}
	return p.rest || !more
}

var slash = []byte{'/'}

func (p *pathPart) matches(part []byte, isTemplate bool) bool {
	switch p.kind {
	case partLiteral:
		return string(part) == p.text
	case partAny:
		return len(part) > 0
	}
	if !isTemplate {
		return p.around(part)
	}
	if p.prefix == "" && p.suffix == "" {
		return isParam(part)
	}
	open, end := bytes.IndexByte(part, '{'), bytes.LastIndexByte(part, '}')
	return open >= 0 && end > open && string(part[:open]) == p.prefix && string(part[end+1:]) == p.suffix
}

// around says whether part is something between the parameter's prefix and suffix.
func (p *pathPart) around(part []byte) bool {
	n := len(p.prefix) + len(p.suffix)
	return len(part) > n && string(part[:len(p.prefix)]) == p.prefix && string(part[len(part)-len(p.suffix):]) == p.suffix
}
