package detector

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
)

// inspector collects the names that an expression reads, and the first thing in it
// that the type check lets pass though it can never work.
type inspector struct {
	root    ast.Node
	names   []string
	isNull  bool
	problem error
}

func (in *inspector) Visit(node *ast.Node) {
	in.root = *node // the last one is
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value != "$env" && !slices.Contains(in.names, n.Value) {
			in.names = append(in.names, n.Value)
		}
	case *ast.MemberNode:
		if name, ok := environmentField(n); ok && !slices.Contains(in.names, name) {
			in.names = append(in.names, name)
		}
	case *ast.CallNode:
		name := "this"
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			name = id.Value
		}
		in.refuse(n, "%s is no function here", name)
	case *ast.BinaryNode:
		in.isNull = in.isNull || n.Operator == "==" && (isNil(n.Left) || isNil(n.Right))
		if n.Operator != "matches" {
			return
		}
		pattern, ok := n.Right.(*ast.StringNode)
		if !ok {
			in.refuse(n.Right, "matches needs a text in quotes on its right")
		} else if _, err := regexp.Compile(pattern.Value); err != nil {
			in.refuse(n.Right, "%v", err)
		}
	}
}

func (in *inspector) refuse(node ast.Node, format string, args ...any) {
	if in.problem == nil {
		in.problem = &file.Error{Location: node.Location(), Column: node.Location().From, Message: fmt.Sprintf(format, args...)}
	}
}

// environmentField gives the name in $env["name"], which reads a field whose name
// is no identifier.
func environmentField(n *ast.MemberNode) (string, bool) {
	id, ok := n.Node.(*ast.IdentifierNode)
	if !ok || id.Value != "$env" {
		return "", false
	}
	name, ok := n.Property.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return name.Value, true
}

// rewriter replaces each operator and call that would fail on something missing by
// a function of whenops.go that does not. Nodes come children first.
type rewriter struct{}

// operators maps binary operators to functions.
var operators = map[string]string{
	"==": opEqual, "!=": opUnequal, "<": opLess, "<=": opLessEqual, ">": opGreater, ">=": opGreaterEqual,
	"in": opIn, "contains": opContains, "startsWith": opStartsWith, "endsWith": opEndsWith, "matches": opMatches,
	"+": opAdd, "-": opSubtract, "*": opMultiply, "/": opDivide, "%": opRemainder, "**": opPower, "^": opPower,
}

func (rewriter) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&", "or", "||":
			n.Left, n.Right = truth(n.Left), truth(n.Right)
			return
		case "!=":
			if isNil(n.Right) {
				ast.Patch(node, call(opIsThere, n.Left))
				return
			}
			if isNil(n.Left) {
				ast.Patch(node, call(opIsThere, n.Right))
				return
			}
		case "in":
			if span, ok := n.Right.(*ast.BinaryNode); ok && span.Operator == ".." {
				ast.Patch(node, call(opWithin, n.Left, span.Left, span.Right))
				return
			}
		case "matches":
			if text, ok := n.Right.(*ast.StringNode); ok {
				if re, err := regexp.Compile(text.Value); err == nil {
					n.Right = &ast.ConstantNode{Value: re}
				}
			}
		}
		if name, ok := operators[n.Operator]; ok {
			ast.Patch(node, call(name, n.Left, n.Right))
		}
	case *ast.UnaryNode:
		switch n.Operator {
		case "not", "!":
			n.Node = truth(n.Node)
		case "-":
			ast.Patch(node, call(opSubtract, &ast.IntegerNode{Value: 0}, n.Node))
		case "+":
			ast.Patch(node, n.Node)
		}
	case *ast.ConditionalNode:
		n.Cond = truth(n.Cond)
	case *ast.MemberNode:
		if name, ok := environmentField(n); ok {
			ast.Patch(node, &ast.IdentifierNode{Value: name})
			return
		}
		ast.Patch(node, call(opMember, n.Node, n.Property))
	case *ast.SliceNode:
		args := []ast.Node{n.Node, &ast.NilNode{}, &ast.NilNode{}}
		if n.From != nil {
			args[1] = n.From
		}
		if n.To != nil {
			args[2] = n.To
		}
		ast.Patch(node, call(opSlice, args...))
	case *ast.BuiltinNode:
		rewriteBuiltin(node, n)
	}
}

// booleanPredicates are the functions whose predicate must be true or false.
var booleanPredicates = []string{"all", "any", "none", "one", "filter", "count", "find", "findIndex", "findLast", "findLastIndex"}

func rewriteBuiltin(node *ast.Node, n *ast.BuiltinNode) {
	overList := n.Name == "count" || n.Name == "sum"
	for _, arg := range n.Arguments {
		if p, ok := arg.(*ast.PredicateNode); ok {
			overList = true
			if slices.Contains(booleanPredicates, n.Name) {
				p.Node = truth(p.Node)
			}
		}
	}
	if !overList || len(n.Arguments) == 0 {
		ast.Patch(node, call(opCall, append([]ast.Node{&ast.StringNode{Value: n.Name}}, n.Arguments...)...))
		return
	}
	list := n.Arguments[0]
	n.Arguments[0] = call(opList, list)
	if n.Name == "all" { // all of something missing is false, all of an empty list true
		ast.Patch(node, &ast.BinaryNode{Operator: "and", Left: call(opIsList, list), Right: n})
	}
}

func isNil(node ast.Node) bool {
	_, ok := node.(*ast.NilNode)
	return ok
}

func call(name string, args ...ast.Node) *ast.CallNode {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
}

// truth makes sure that a node is true or false.
func truth(node ast.Node) ast.Node {
	switch n := node.(type) {
	case *ast.BoolNode:
		return node
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return node
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&", "or", "||":
			return node
		}
	}
	return call(opTruth, node)
}
