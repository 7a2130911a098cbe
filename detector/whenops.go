package detector

import (
	"math"
	"reflect"
	"regexp"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm/runtime"
)

// Names of the functions that stand for operators; no expression can name them,
// because the type check that goes before knows none of them.
const (
	opEqual        = "__equal"
	opUnequal      = "__unequal"
	opLess         = "__less"
	opLessEqual    = "__lessEqual"
	opGreater      = "__greater"
	opGreaterEqual = "__greaterEqual"
	opIn           = "__in"
	opWithin       = "__within"
	opContains     = "__contains"
	opStartsWith   = "__startsWith"
	opEndsWith     = "__endsWith"
	opMatches      = "__matches"
	opAdd          = "__add"
	opSubtract     = "__subtract"
	opMultiply     = "__multiply"
	opDivide       = "__divide"
	opRemainder    = "__remainder"
	opPower        = "__power"
	opMember       = "__member"
	opSlice        = "__slice"
	opCall         = "__call"
	opList         = "__list"
	opIsList       = "__isList"
	opTruth        = "__truth"
	opIsThere      = "__isThere"
)

// missingSafe gives the functions. None of them fails.
func missingSafe() []expr.Option {
	options := []expr.Option{
		expr.Function(opIn, func(a ...any) (any, error) { return isIn(a[0], a[1]), nil }, new(func(any, any) bool)),
		expr.Function(opWithin, func(a ...any) (any, error) { return isWithin(a[0], a[1], a[2]), nil }, new(func(any, any, any) bool)),
		expr.Function(opMember, func(a ...any) (any, error) { return memberOf(a[0], a[1]), nil }, new(func(any, any) any)),
		expr.Function(opSlice, func(a ...any) (any, error) { return sliceOf(a[0], a[1], a[2]), nil }, new(func(any, any, any) any)),
		expr.Function(opCall, func(a ...any) (any, error) { return callBuiltin(a[0], a[1:]), nil }, new(func(string, ...any) any)),
		expr.Function(opList, func(a ...any) (any, error) { return listOf(a[0]), nil }, new(func(any) []any)),
		expr.Function(opIsList, func(a ...any) (any, error) { return isList(a[0]), nil }, new(func(any) bool)),
		expr.Function(opIsThere, func(a ...any) (any, error) { return a[0] != nil, nil }, new(func(any) bool)),
		expr.Function(opTruth, func(a ...any) (any, error) { return isTrue(a[0]), nil }, new(func(any) bool)),
	}
	for name, compare := range map[string]func(a, b any) bool{
		opEqual:        equals,
		opUnequal:      func(a, b any) bool { return a != nil && b != nil && !equals(a, b) },
		opLess:         func(a, b any) bool { c, ok := order(a, b); return ok && c < 0 },
		opLessEqual:    func(a, b any) bool { c, ok := order(a, b); return ok && c <= 0 },
		opGreater:      func(a, b any) bool { c, ok := order(a, b); return ok && c > 0 },
		opGreaterEqual: func(a, b any) bool { c, ok := order(a, b); return ok && c >= 0 },
		opContains:     onTexts(strings.Contains),
		opStartsWith:   onTexts(strings.HasPrefix),
		opEndsWith:     onTexts(strings.HasSuffix),
		opMatches:      matches,
	} {
		options = append(options, expr.Function(name, func(a ...any) (any, error) { return compare(a[0], a[1]), nil }, new(func(any, any) bool)))
	}
	for _, name := range []string{opAdd, opSubtract, opMultiply, opDivide, opRemainder, opPower} {
		options = append(options, expr.Function(name, func(a ...any) (any, error) { return arithmetic(name, a[0], a[1]), nil }, new(func(any, any) any)))
	}
	return options
}

func isTrue(v any) bool {
	b, ok := v.(bool)
	return ok && b
}

// equals is == : false where either is missing.
func equals(a, b any) bool {
	if a == nil || b == nil {
		return false
	}
	if c, ok := order(a, b); ok {
		return c == 0
	}
	if x, ok := a.(bool); ok {
		y, ok := b.(bool)
		return ok && x == y
	}
	x, ok := asList(a)
	if !ok {
		return reflect.DeepEqual(a, b)
	}
	y, ok := asList(b)
	if !ok || len(x) != len(y) {
		return false
	}
	for i := range x {
		if !equals(x[i], y[i]) {
			return false
		}
	}
	return true
}

// order compares two numbers or two texts; false for anything else.
func order(a, b any) (int, bool) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), true
		}
		return 0, false
	case int:
		if y, ok := b.(int); ok {
			return compareNumbers(x, y), true
		}
	}
	x, ok := asFloat(a)
	if !ok {
		return 0, false
	}
	y, ok := asFloat(b)
	if !ok || math.IsNaN(x) || math.IsNaN(y) {
		return 0, false
	}
	return compareNumbers(x, y), true
}

func compareNumbers[T int | float64](x, y T) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func isIn(v, list any) bool {
	if v == nil {
		return false
	}
	if members, ok := list.(map[string]any); ok {
		name, ok := v.(string)
		return ok && members[name] != nil
	}
	items, _ := asList(list)
	for _, item := range items {
		if equals(v, item) {
			return true
		}
	}
	return false
}

// isWithin is v in from..to, without a list of all that lies between.
func isWithin(v, from, to any) bool {
	if x, ok := v.(float64); ok && x != math.Trunc(x) {
		return false
	}
	low, ok := order(v, from)
	if !ok || low < 0 {
		return false
	}
	high, ok := order(v, to)
	return ok && high <= 0
}

func onTexts(test func(a, b string) bool) func(a, b any) bool {
	return func(a, b any) bool {
		x, ok := a.(string)
		if !ok {
			return false
		}
		y, ok := b.(string)
		return ok && test(x, y)
	}
}

func matches(v, pattern any) bool {
	text, ok := v.(string)
	if !ok {
		return false
	}
	re, ok := pattern.(*regexp.Regexp)
	return ok && re.MatchString(text)
}

// memberOf is v.name and v[i]: nil where there is none. A negative i counts from
// the end.
func memberOf(v, name any) any {
	if members, ok := v.(map[string]any); ok {
		if name, ok := name.(string); ok {
			return members[name]
		}
		return nil
	}
	items, ok := asList(v)
	i, isInt := name.(int)
	if !ok || !isInt {
		return nil
	}
	if i < 0 {
		i += len(items)
	}
	if i < 0 || i >= len(items) {
		return nil
	}
	return items[i]
}

func sliceOf(v, from, to any) (result any) {
	defer func() {
		if recover() != nil {
			result = nil
		}
	}()
	if from == nil {
		from = 0
	}
	if to == nil {
		to = runtime.Len(v)
	}
	return runtime.Slice(v, from, to)
}

// callBuiltin calls a function of expr-lang: nil where an argument is missing or is
// not for that function.
func callBuiltin(name any, args []any) (result any) {
	text, _ := name.(string)
	if text == "get" && len(args) == 2 {
		return memberOf(args[0], args[1])
	}
	at, ok := builtin.Index[text]
	if !ok {
		return nil
	}
	for _, arg := range args {
		if arg == nil {
			return nil
		}
	}
	defer func() {
		if recover() != nil {
			result = nil
		}
	}()
	f := builtin.Builtins[at]
	switch {
	case f.Fast != nil && len(args) == 1:
		return f.Fast(args[0])
	case f.Safe != nil:
		result, _, err := f.Safe(args...)
		if err != nil {
			return nil
		}
		return result
	case f.Func == nil:
		return nil
	}
	result, err := f.Func(args...)
	if err != nil {
		return nil
	}
	return result
}

// asList gives the elements of what is a list.
func asList(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case nil, string, map[string]any:
		return nil, false
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice {
		return nil, false
	}
	items := make([]any, r.Len())
	for i := range items {
		items[i] = r.Index(i).Interface()
	}
	return items, true
}

func isList(v any) bool {
	_, ok := asList(v)
	return ok
}

func listOf(v any) []any {
	items, _ := asList(v)
	if items == nil {
		items = []any{}
	}
	return items
}

// arithmetic is nil where an operand is missing or is no number (+ joins texts).
func arithmetic(op string, a, b any) any {
	if x, ok := a.(string); ok && op == opAdd {
		if y, ok := b.(string); ok {
			return x + y
		}
		return nil
	}
	x, okX := a.(int)
	y, okY := b.(int)
	if okX && okY {
		switch op {
		case opAdd:
			return x + y
		case opSubtract:
			return x - y
		case opMultiply:
			return x * y
		case opRemainder:
			if y == 0 {
				return nil
			}
			return x % y
		}
	}
	fx, okX := asFloat(a)
	fy, okY := asFloat(b)
	if !okX || !okY {
		return nil
	}
	switch op {
	case opAdd:
		return fx + fy
	case opSubtract:
		return fx - fy
	case opMultiply:
		return fx * fy
	case opDivide:
		return fx / fy
	case opPower:
		return math.Pow(fx, fy)
	}
	return nil
}
