package detector

import (
	"bytes"
	"slices"
	"strings"
)

// Templates maps paths to the templates of the endpoints list. It is immutable and
// safe for concurrent use; nil maps nothing.
type Templates struct {
	patterns []EndpointPattern
	root     templateNode
}

// templateNode is a tree of path parts.
type templateNode struct {
	literal map[string]*templateNode
	around  []templateEdge // {name}.json, the longest surroundings first
	any     *templateNode  // {id} and *
	ends    []templateEnd  // templates that end here
	rests   []templateEnd  // templates that end here in **
}

type templateEdge struct {
	part pathPart
	node *templateNode
}

type templateEnd struct {
	method string
	path   string // "": the path is to be left alone
}

// NewTemplates makes a tree of patterns. A path that one of the rules' endpoints
// spells out in full is left alone: /users/me is not /users/{id} to a rule about
// it.
func NewTemplates(patterns, rules []EndpointPattern) *Templates {
	t := &Templates{patterns: patterns}
	for i := range patterns {
		t.root.add(&patterns[i], patterns[i].path)
	}
	for i := range rules {
		if rules[i].isLiteral() {
			t.root.add(&rules[i], "")
		}
	}
	return t
}

// isLiteral says whether the pattern is one path.
func (p *EndpointPattern) isLiteral() bool {
	return !p.rest && !slices.ContainsFunc(p.parts, func(part pathPart) bool { return part.kind != partLiteral })
}

func (n *templateNode) add(p *EndpointPattern, path string) {
	for _, part := range p.parts {
		n = n.child(part)
	}
	ends := &n.ends
	if p.rest {
		ends = &n.rests
	}
	*ends = append(*ends, templateEnd{method: p.method, path: path})
	slices.SortStableFunc(*ends, func(a, b templateEnd) int { return strings.Compare(b.method, a.method) }) // "*" sorts last
}

func (n *templateNode) child(part pathPart) *templateNode {
	switch {
	case part.kind == partLiteral:
		if n.literal == nil {
			n.literal = make(map[string]*templateNode)
		}
		if n.literal[part.text] == nil {
			n.literal[part.text] = &templateNode{}
		}
		return n.literal[part.text]
	case part.prefix == "" && part.suffix == "":
		if n.any == nil {
			n.any = &templateNode{}
		}
		return n.any
	}
	for _, e := range n.around {
		if e.part == part {
			return e.node
		}
	}
	child := &templateNode{}
	n.around = append(n.around, templateEdge{part: part, node: child})
	slices.SortStableFunc(n.around, func(a, b templateEdge) int {
		return len(b.part.prefix) + len(b.part.suffix) - len(a.part.prefix) - len(a.part.suffix)
	})
	return child
}

// Map appends to dst the template that stands for a path, and says whether there
// is one. From left to right a literal part goes before {name}.json, that before
// {id}, that before **; then a method by name goes before *. Does not allocate
// beyond dst.
func (t *Templates) Map(dst, method, path []byte) ([]byte, bool) {
	if t == nil || len(path) == 0 || path[0] != '/' {
		return dst, false
	}
	end := t.root.find(method, path[1:], true)
	if end == nil || end.path == "" {
		return dst, false
	}
	return append(dst, end.path...), true
}

// find looks for the template of what is left of a path; more says that a part is
// left, be it an empty one.
func (n *templateNode) find(method, path []byte, more bool) *templateEnd {
	if !more {
		if end := byMethod(n.ends, method); end != nil {
			return end
		}
		return byMethod(n.rests, method)
	}
	part, rest, more := bytes.Cut(path, slash)
	if child := n.literal[string(part)]; child != nil {
		if end := child.find(method, rest, more); end != nil {
			return end
		}
	}
	for i := range n.around {
		if n.around[i].part.around(part) {
			if end := n.around[i].node.find(method, rest, more); end != nil {
				return end
			}
		}
	}
	if n.any != nil && len(part) > 0 {
		if end := n.any.find(method, rest, more); end != nil {
			return end
		}
	}
	return byMethod(n.rests, method)
}

func byMethod(ends []templateEnd, method []byte) *templateEnd {
	for i := range ends {
		if ends[i].method == "*" || ends[i].method == string(method) {
			return &ends[i]
		}
	}
	return nil
}
