package detector

import (
	"errors"
	"fmt"
	"strings"
)

// jsonTest is a json: pattern, "path OP value". It is immutable.
type jsonTest struct {
	steps []jsonStep
	want  jsonOperand
}

// jsonStep goes one level down: to the member called name, or to each element.
type jsonStep struct {
	name string
	each bool
}

// parseJSONTest reads "path OP value". The operator is the first of the text, so a
// value may contain operators and a name may not.
func parseJSONTest(text string) (*jsonTest, error) {
	at := strings.IndexAny(text, "=!<>")
	for at >= 0 && operatorAt(text, at) == "" {
		next := strings.IndexAny(text[at+1:], "=!<>")
		if next < 0 {
			at = -1
			break
		}
		at += 1 + next
	}
	if at < 0 {
		hint := ""
		if strings.Contains(text, "=") {
			hint = "; equal is =="
		}
		return nil, fmt.Errorf("json: %q has no operator: write json:path OP value with one of == != > >= < <=%s", text, hint)
	}
	op := operatorAt(text, at)
	steps, err := parseJSONPath(strings.TrimSpace(text[:at]))
	if err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	want, err := newJSONOperand(op, text[at+len(op):])
	if err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	return &jsonTest{steps: steps, want: want}, nil
}

// operatorAt gives the operator at text[i], "" if there is none.
func operatorAt(text string, i int) string {
	for _, op := range [...]string{"==", "!=", ">=", "<=", ">", "<"} {
		if strings.HasPrefix(text[i:], op) {
			return op
		}
	}
	return ""
}

// parseJSONPath reads names separated by dots, each with [] behind it for every
// element of an array; [] alone stands for the elements where it is.
func parseJSONPath(path string) ([]jsonStep, error) {
	if path == "" {
		return nil, errors.New("the path is empty")
	}
	if last := path[len(path)-1]; last == '=' || last == '!' {
		return nil, fmt.Errorf("path %q ends in %q: the operators are == != > >= < <=", path, last)
	}
	var steps []jsonStep
	for part := range strings.SplitSeq(path, ".") {
		name, elements := strings.TrimSpace(part), 0
		for strings.HasSuffix(name, "[]") {
			name = strings.TrimSpace(name[:len(name)-2])
			elements++
		}
		switch {
		case name == "" && elements == 0:
			return nil, fmt.Errorf("path %q has an empty name", path)
		case strings.Contains(name, "[]"):
			return nil, fmt.Errorf("path %q: a dot must follow []", path)
		case hasIndex(name):
			return nil, fmt.Errorf("path %q: elements cannot be picked by position; [] is any element", path)
		}
		if name != "" {
			steps = append(steps, jsonStep{name: name})
		}
		for range elements {
			steps = append(steps, jsonStep{each: true})
		}
	}
	return steps, nil
}

// hasIndex says whether name ends in [3] or [*], which other path languages have.
func hasIndex(name string) bool {
	open := strings.LastIndexByte(name, '[')
	if open < 0 || name[len(name)-1] != ']' {
		return false
	}
	index := name[open+1 : len(name)-1]
	return index == "*" || strings.Trim(index, "-0123456789") == ""
}

// holds says whether the value at the path, or any of the values where the path
// has [], stands in the relation. doc is valid JSON. Of duplicate names the last
// counts; a path that leads nowhere holds for no operator. It recurses as deep as
// the path is long, not as the document.
func (t *jsonTest) holds(doc []byte, s *Scratch) bool { return t.from(doc, 0, s) }

func (t *jsonTest) from(doc []byte, step int, s *Scratch) bool {
	i := skipBlanks(doc, 0)
	if i == len(doc) {
		return false
	}
	if step == len(t.steps) {
		return t.want.holds(doc[i:skipValue(doc, i)], s)
	}
	if !t.steps[step].each {
		value, buf := member(doc[i:], t.steps[step].name, s.json)
		s.json = buf
		return value != nil && t.from(value, step+1, s)
	}
	if doc[i] != '[' {
		return false
	}
	for i = skipBlanks(doc, i+1); i < len(doc) && doc[i] != ']'; {
		end := skipValue(doc, i)
		if t.from(doc[i:end], step+1, s) {
			return true
		}
		if i = skipBlanks(doc, end); i < len(doc) && doc[i] == ',' {
			i = skipBlanks(doc, i+1)
		}
	}
	return false
}

// member gives the value of the last member of an object that has the name, nil if
// there is none or doc is no object. buf is working space.
func member(doc []byte, name string, buf []byte) (value, newBuf []byte) {
	if len(doc) == 0 || doc[0] != '{' {
		return nil, buf
	}
	for i := skipBlanks(doc, 1); i < len(doc) && doc[i] == '"'; {
		end := skipString(doc, i)
		var key []byte
		key, buf = unescape(buf, doc[i+1:max(i+1, end-1)])
		if i = skipBlanks(doc, end); i == len(doc) {
			break
		}
		i = skipBlanks(doc, i+1) // the colon
		end = skipValue(doc, i)
		if string(key) == name {
			value = doc[i:end]
		}
		if i = skipBlanks(doc, end); i < len(doc) && doc[i] == ',' {
			i = skipBlanks(doc, i+1)
		}
	}
	return value, buf
}
