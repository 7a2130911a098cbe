package schemas

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

// shape is a list of mappings made ready: a tree of member names, so that one walk
// over a record finds the values of all of them. Immutable.
type shape struct {
	mappings []mapping
	names    *shapeNode
	gjson    []int // mappings whose paths need gjson's own syntax
	vendor   bool  // "-" and "" mean absent
}

type shapeNode struct {
	children map[string]*shapeNode
	mappings []int // those that end here
}

func newShape(mappings []mapping, vendor bool) *shape {
	s := &shape{mappings: mappings, names: &shapeNode{}, vendor: vendor}
	for i, m := range mappings {
		if m.syntax {
			s.gjson = append(s.gjson, i)
			continue
		}
		n := s.names
		for _, name := range strings.Split(m.path, ".") {
			child := n.children[name]
			if child == nil {
				child = &shapeNode{}
				if n.children == nil {
					n.children = map[string]*shapeNode{}
				}
				n.children[name] = child
			}
			n = child
		}
		n.mappings = append(n.mappings, i)
	}
	return s
}

// plainPath says whether a gjson path is nothing but names of members. A number
// may be an index of an array.
func plainPath(path string) bool {
	for _, name := range strings.Split(path, ".") {
		if strings.Trim(name, "0123456789") == "" || strings.ContainsAny(name, `\*?#|!{}[]():"`) {
			return false
		}
		if modifier, ok := strings.CutPrefix(name, "@"); ok && gjson.ModifierExists(modifier, nil) {
			return false
		}
	}
	return true
}

// find gives the node of a member, whose name may be several joined by dots.
func (n *shapeNode) find(name []byte) *shapeNode {
	for n != nil {
		if child := n.children[string(name)]; child != nil {
			return child
		}
		first, rest, dotted := bytes.Cut(name, []byte{'.'})
		if !dotted {
			return nil
		}
		n, name = n.children[string(first)], rest
	}
	return nil
}

// shaped reads a record of d's shape in one walk over its bytes. A negative result
// is ^ of the index at which the record stops being one JSON object.
func (d *Decoder) shaped(ev *Event) int {
	clear(d.found)
	b := d.scan.b
	i := skipBlanks(b, 0)
	if i >= len(b) || b[i] != '{' {
		return ^i
	}
	if i = d.members(ev, d.shape.names, i, 1); i < 0 {
		return i
	}
	return end(b, i)
}

// members reads the object at i, which is the depth-th from outside, and keeps what
// is found at n's mappings. Members of the outermost object that a preset knows
// nothing of go to Extra. Those that it knows in part do not: in the headers that a
// gateway logs with each request are cookies and passwords.
func (d *Decoder) members(ev *Event, n *shapeNode, i, depth int) int {
	b := d.scan.b
	if i = skipBlanks(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		name, escaped, start := d.scan.key(i)
		if start < 0 {
			return start
		}
		if escaped {
			name = d.unescape(name)
		}
		child := n.find(name)
		v, next := d.member(ev, child, start, depth)
		if next < 0 {
			return next
		}
		if depth == 1 && d.needs.has(fieldNone) && (child == nil || !d.shape.vendor && len(child.mappings) == 0) {
			ev.Extra = append(ev.Extra, Member{Key: name, Value: v.raw})
		}
		switch next = skipBlanks(b, next); {
		case next < len(b) && b[next] == ',':
			i = skipBlanks(b, next+1)
		case next < len(b) && b[next] == '}':
			return next + 1
		default:
			return ^next
		}
	}
}

// member reads the value at i, which stands at node n (nil: nowhere).
func (d *Decoder) member(ev *Event, n *shapeNode, i, depth int) (value, int) {
	b := d.scan.b
	var v value
	next := 0
	if n != nil && n.children != nil && i < len(b) && b[i] == '{' {
		if next = d.members(ev, n, i, depth+1); next < 0 {
			return v, next
		}
		v = value{raw: b[i:next], kind: kindObject}
	} else if v, next = d.scan.value(i, depth); next < 0 {
		return v, next
	}
	if n == nil {
		return v, next
	}
	if v.kind == kindArray && n.children != nil {
		d.keyedList(n, v.raw)
	}
	for _, m := range n.mappings {
		d.found[m] = v
	}
	return v, next
}

// keyedList keeps what is found at n's mappings in a list of attributes as OTLP
// writes it: [{"key": "http.route", "value": {"stringValue": "/x"}}, ...]. The list
// has been scanned before.
func (d *Decoder) keyedList(n *shapeNode, list []byte) {
	s := scanner{b: list, stops: stops{b: list}}
	for i := skipBlanks(list, 1); list[i] != ']'; {
		v, next := s.value(i, 1)
		if v.kind == kindObject {
			var name, element value
			eachMember(v.raw, func(key []byte, v value) {
				switch string(key) {
				case "key":
					name = v
				case "value":
					element = v
				}
			})
			if child := n.find(d.stringOf(name)); child != nil {
				for _, m := range child.mappings {
					d.found[m] = anyValue(element)
				}
			}
		}
		if i = skipBlanks(list, next); list[i] == ',' {
			i = skipBlanks(list, i+1)
		}
	}
}

// anyValue unwraps OTLP's AnyValue, {"intValue": "200"}.
func anyValue(v value) value {
	if v.kind != kindObject {
		return v
	}
	inner := value{}
	eachMember(v.raw, func(_ []byte, v value) { inner = v })
	return inner
}

// eachMember calls yield for each member of an object that has been scanned.
func eachMember(object []byte, yield func(name []byte, v value)) {
	s := scanner{b: object, stops: stops{b: object}}
	for i := skipBlanks(object, 1); object[i] != '}'; {
		name, _, start := s.key(i)
		v, next := s.value(start, 1)
		yield(name, v)
		if i = skipBlanks(object, next); object[i] == ',' {
			i = skipBlanks(object, i+1)
		}
	}
}

// apply sets ev's fields to what was found: of each field's places the first that
// holds something usable.
func (d *Decoder) apply(ev *Event) {
	for _, m := range d.shape.gjson {
		r := gjson.GetBytes(d.scan.b, d.shape.mappings[m].path)
		d.found[m] = value{raw: []byte(r.Raw), kind: kindOf(r), escaped: strings.IndexByte(r.Raw, '\\') >= 0}
	}
	var done [fieldCount]bool
	for i, m := range d.shape.mappings {
		v := d.found[i]
		if v.kind == kindNull || d.shape.vendor && (string(v.raw) == `""` || string(v.raw) == `"-"`) {
			continue
		}
		d.read(ev, m, v, &done)
	}
}

// kindOf gives the kind of what gjson found.
func kindOf(r gjson.Result) kind {
	switch {
	case r.Type == gjson.String:
		return kindString
	case r.Type == gjson.Number:
		return kindNumber
	case r.Type == gjson.True:
		return kindTrue
	case r.Type == gjson.False:
		return kindFalse
	case r.IsArray():
		return kindArray
	case r.IsObject():
		return kindObject
	}
	return kindNull
}
