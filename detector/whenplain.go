package detector

import (
	"bytes"
	"errors"
	"math"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/apiwarden/apiwarden/schemas"
)

// plainTest is a condition, or a part of one, that is judged on the event's bytes
// as they are, without the virtual machine and without allocating. It says what
// the machine would say.
type plainTest func(ev *schemas.Event, s *Scratch) bool

// plainTestOf compiles what most conditions are made of: comparisons of a field or
// its length with constants, joined by and, or and not. Nil: there is more in it.
func plainTestOf(node ast.Node) plainTest {
	switch n := node.(type) {
	case *ast.BoolNode:
		return func(*schemas.Event, *Scratch) bool { return n.Value }
	case *ast.UnaryNode:
		test := plainTestOf(n.Node)
		if test == nil || n.Operator != "not" && n.Operator != "!" {
			return nil
		}
		return func(ev *schemas.Event, s *Scratch) bool { return !test(ev, s) }
	case *ast.BinaryNode:
		return plainBinary(n)
	}
	f, ok := plainFieldOf(node)
	if !ok {
		return nil
	}
	return func(ev *schemas.Event, s *Scratch) bool {
		v := f.value(ev, s)
		return v.kind == plainFlag && v.i != 0
	}
}

func plainBinary(n *ast.BinaryNode) plainTest {
	switch n.Operator {
	case "and", "&&", "or", "||":
		left, right := plainTestOf(n.Left), plainTestOf(n.Right)
		switch {
		case left == nil || right == nil:
			return nil
		case n.Operator == "and" || n.Operator == "&&":
			return func(ev *schemas.Event, s *Scratch) bool { return left(ev, s) && right(ev, s) }
		}
		return func(ev *schemas.Event, s *Scratch) bool { return left(ev, s) || right(ev, s) }
	case "in":
		return plainIn(n)
	}
	op, constant := n.Operator, n.Right
	value := plainOperandOf(n.Left)
	if value == nil { // 404 == status
		if op = mirrored(op); op == "" {
			return nil
		}
		if value = plainOperandOf(n.Right); value == nil {
			return nil
		}
		constant = n.Left
	}
	if op == "!=" && isNil(constant) {
		return func(ev *schemas.Event, s *Scratch) bool { return value(ev, s).kind != plainMissing }
	}
	c, ok := plainConstant(constant)
	if !ok {
		return nil
	}
	if holds := plainComparison(op, c); holds != nil {
		return func(ev *schemas.Event, s *Scratch) bool {
			v := value(ev, s)
			return v.kind != plainMissing && holds(v)
		}
	}
	return nil
}

// plainOperandOf compiles a field, or the length of one that is text: nil for
// anything else.
func plainOperandOf(node ast.Node) func(ev *schemas.Event, s *Scratch) plainValue {
	if f, ok := plainFieldOf(node); ok {
		return f.value
	}
	n, ok := node.(*ast.BuiltinNode)
	if !ok || n.Name != "len" || len(n.Arguments) != 1 {
		return nil
	}
	f, ok := plainFieldOf(n.Arguments[0])
	if !ok || f.id == fieldUnknown || f.id == fieldResponseFields { // may be lists
		return nil
	}
	return func(ev *schemas.Event, s *Scratch) plainValue {
		v := f.value(ev, s)
		if v.kind != plainText {
			return plainValue{}
		}
		return plainValue{kind: plainWhole, i: utf8.RuneCount(v.text)}
	}
}

// mirrored gives the operator that says of b, a what op says of a, b; "" if none.
func mirrored(op string) string {
	switch op {
	case "==", "!=":
		return op
	case "<":
		return ">"
	case "<=":
		return ">="
	case ">":
		return "<"
	case ">=":
		return "<="
	}
	return ""
}

// plainComparison gives the comparison of a value that is there with a constant.
func plainComparison(op string, c plainValue) func(v plainValue) bool {
	switch op {
	case "==":
		return func(v plainValue) bool { return v.equals(c) }
	case "!=":
		return func(v plainValue) bool { return !v.equals(c) }
	case "<":
		return func(v plainValue) bool { o, ok := v.order(c); return ok && o < 0 }
	case "<=":
		return func(v plainValue) bool { o, ok := v.order(c); return ok && o <= 0 }
	case ">":
		return func(v plainValue) bool { o, ok := v.order(c); return ok && o > 0 }
	case ">=":
		return func(v plainValue) bool { o, ok := v.order(c); return ok && o >= 0 }
	}
	if c.kind != plainText {
		return nil
	}
	switch op {
	case "contains":
		return func(v plainValue) bool { return v.kind == plainText && bytes.Contains(v.text, c.text) }
	case "startsWith":
		return func(v plainValue) bool { return v.kind == plainText && bytes.HasPrefix(v.text, c.text) }
	case "endsWith":
		return func(v plainValue) bool { return v.kind == plainText && bytes.HasSuffix(v.text, c.text) }
	case "matches":
		re, err := regexp.Compile(string(c.text))
		if err != nil {
			return nil
		}
		return func(v plainValue) bool { return v.kind == plainText && re.Match(v.text) }
	}
	return nil
}

// plainIn compiles field in [constants] and field in 400..499.
func plainIn(n *ast.BinaryNode) plainTest {
	f, ok := plainFieldOf(n.Left)
	if !ok {
		return nil
	}
	switch list := n.Right.(type) {
	case *ast.BinaryNode:
		from, okFrom := plainConstant(list.Left)
		to, okTo := plainConstant(list.Right)
		if list.Operator != ".." || !okFrom || !okTo {
			return nil
		}
		return func(ev *schemas.Event, s *Scratch) bool {
			v := f.value(ev, s)
			if v.kind == plainDecimal && v.f != math.Trunc(v.f) {
				return false
			}
			low, okLow := v.order(from)
			high, okHigh := v.order(to)
			return okLow && okHigh && low >= 0 && high <= 0
		}
	case *ast.ArrayNode:
		texts := make(map[string]struct{})
		var others []plainValue
		for _, item := range list.Nodes {
			c, ok := plainConstant(item)
			switch {
			case !ok:
				return nil
			case c.kind == plainText:
				texts[string(c.text)] = struct{}{}
			default:
				others = append(others, c)
			}
		}
		return func(ev *schemas.Event, s *Scratch) bool {
			v := f.value(ev, s)
			if v.kind == plainText {
				_, ok := texts[string(v.text)]
				return ok
			}
			for _, c := range others {
				if v.equals(c) {
					return true
				}
			}
			return false
		}
	}
	return nil
}

// plainValue is a field's value or a constant.
type plainValue struct {
	kind plainKind
	text []byte
	i    int // whole numbers; 0 and 1 for false and true
	f    float64
}

type plainKind uint8

const (
	plainMissing plainKind = iota
	plainText
	plainWhole
	plainDecimal
	plainFlag
	plainOther // an object or a list
)

func plainConstant(node ast.Node) (plainValue, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return plainValue{kind: plainText, text: []byte(n.Value)}, true
	case *ast.IntegerNode:
		return plainValue{kind: plainWhole, i: n.Value}, true
	case *ast.FloatNode:
		return plainValue{kind: plainDecimal, f: n.Value}, true
	case *ast.BoolNode:
		return flagValue(n.Value), true
	case *ast.UnaryNode:
		if v, ok := plainConstant(n.Node); ok && n.Operator == "-" && (v.kind == plainWhole || v.kind == plainDecimal) {
			return plainValue{kind: v.kind, i: -v.i, f: -v.f}, true
		}
	}
	return plainValue{}, false
}

func flagValue(v bool) plainValue {
	if v {
		return plainValue{kind: plainFlag, i: 1}
	}
	return plainValue{kind: plainFlag}
}

// order is as the function of that name for boxed values.
func (v plainValue) order(c plainValue) (int, bool) {
	switch {
	case v.kind == plainText && c.kind == plainText:
		return bytes.Compare(v.text, c.text), true
	case v.kind == plainWhole && c.kind == plainWhole:
		return compareNumbers(v.i, c.i), true
	}
	x, ok := v.float()
	if !ok {
		return 0, false
	}
	y, ok := c.float()
	return compareNumbers(x, y), ok
}

func (v plainValue) float() (float64, bool) {
	switch v.kind {
	case plainWhole:
		return float64(v.i), true
	case plainDecimal:
		return v.f, true
	}
	return 0, false
}

func (v plainValue) equals(c plainValue) bool {
	if v.kind == plainFlag || c.kind == plainFlag {
		return v.kind == c.kind && v.i == c.i
	}
	o, ok := v.order(c)
	return ok && o == 0
}

// plainField is a field, or a member of response_fields or of an unknown field.
type plainField struct {
	whenField
	path []string
}

func plainFieldOf(node ast.Node) (plainField, bool) {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		return plainField{whenField: whenField{name: n.Value, id: eventFields[n.Value]}}, n.Value != "$env"
	case *ast.ChainNode:
		return plainFieldOf(n.Node)
	case *ast.MemberNode:
		if name, ok := environmentField(n); ok {
			return plainField{whenField: whenField{name: name, id: eventFields[name]}}, true
		}
		name, ok := n.Property.(*ast.StringNode)
		if !ok {
			return plainField{}, false
		}
		f, ok := plainFieldOf(n.Node)
		f.path = append(f.path, name.Value)
		return f, ok && (f.id == fieldUnknown || f.id == fieldResponseFields)
	}
	return plainField{}, false
}

// value is as eventField.value, for one member and without boxes. A text is valid
// until the next call.
func (f *plainField) value(ev *schemas.Event, s *Scratch) plainValue {
	switch f.id {
	case fieldStatus:
		return plainValue{kind: plainWhole, i: int(ev.Status)}
	case fieldBlocked:
		return flagValue(ev.Blocked)
	case fieldLatencyMS, fieldRequestBytes, fieldResponseBytes:
		return plainNumber(f.id.number(ev))
	case fieldUnknown:
		return f.member(ev.Lookup(f.name), s)
	case fieldResponseFields:
		return f.member(ev.ResponseFields, s)
	case fieldClientIP:
		if !ev.ClientIP.IsValid() {
			return plainValue{}
		}
		s.value = ev.ClientIP.AppendTo(s.value[:0])
		return plainValue{kind: plainText, text: s.value}
	case fieldPeerIP:
		if !ev.PeerIP.IsValid() {
			return plainValue{}
		}
		s.value = ev.PeerIP.AppendTo(s.value[:0])
		return plainValue{kind: plainText, text: s.value}
	case fieldTimestamp:
		if !ev.HasTime {
			return plainValue{}
		}
		s.value = append(s.value[:0], schemas.Micros(ev.Time).String()...)
		return plainValue{kind: plainText, text: s.value}
	}
	text := f.id.text(ev)
	if text == nil {
		return plainValue{}
	}
	return plainValue{kind: plainText, text: text}
}

func (f *plainField) member(raw []byte, s *Scratch) plainValue {
	for _, name := range f.path {
		raw = raw[skipBlanks(raw, 0):]
		if raw, s.json = member(raw, name, s.json); raw == nil {
			return plainValue{}
		}
	}
	raw = raw[skipBlanks(raw, 0):]
	if len(raw) == 0 {
		return plainValue{}
	}
	switch c := raw[0]; {
	case c == '"':
		var text []byte
		text, s.json = unescape(s.json, raw[1:max(1, skipString(raw, 0)-1)])
		return plainValue{kind: plainText, text: text}
	case c == 't' || c == 'f':
		return flagValue(c == 't')
	case c == '{' || c == '[':
		return plainValue{kind: plainOther}
	case c == 'n':
		return plainValue{}
	}
	return plainNumber(raw[:skipWord(raw, 0)])
}

// plainNumber is as numberValue.
func plainNumber(text []byte) plainValue {
	if len(text) == 0 {
		return plainValue{}
	}
	if !bytes.ContainsAny(text, ".eE") { // an error would allocate
		if n, err := strconv.Atoi(string(text)); err == nil {
			return plainValue{kind: plainWhole, i: n}
		}
	}
	x, err := strconv.ParseFloat(string(text), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return plainValue{}
	}
	return plainValue{kind: plainDecimal, f: x}
}
