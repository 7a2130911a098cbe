package detector

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/apiwarden/apiwarden/schemas"
)

// Condition is a when: expression (expr-lang) over the fields of an event, made
// ready to judge. It is immutable and safe for concurrent use.
//
// A field that the event lacks, or that is null, is missing; so is a part of it,
// and whatever is computed of something missing. Every comparison with something
// missing is false, and so is an ordering of things that have no order (a text and
// a number); `not` negates that. What is no boolean counts as false in and, or,
// not and ?:. A field is there if field != nil.
type Condition struct {
	text    string    // as written
	plain   plainTest // nil: the program decides
	fields  []whenField
	program *vm.Program
	isNull  bool // it has == nil, which never holds
}

// whenField is a field that a condition mentions.
type whenField struct {
	name string
	id   eventField
}

// NewCondition compiles an expression. It refuses what is no boolean, what compares
// things that can never be equal, what it does not know, what depends on the clock,
// and what mentions no field and is false.
func NewCondition(text string) (*Condition, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("it is empty")
	}
	found := &inspector{}
	options := append(language(), expr.Env(sampleEnv()), expr.AllowUndefinedVariables(), expr.AsBool(), expr.Patch(found))
	if _, err := compileExpression(text, options); err != nil {
		return nil, describeWhen(text, err)
	}
	if found.problem != nil {
		return nil, describeWhen(text, found.problem)
	}
	c := &Condition{text: text, plain: plainTestOf(found.root), isNull: found.isNull}
	for _, name := range found.names {
		c.fields = append(c.fields, whenField{name: name, id: eventFields[name]})
	}
	program, err := compileExpression(text, append(append(language(), missingSafe()...), expr.Patch(&rewriter{})))
	if err != nil {
		return nil, describeWhen(text, err)
	}
	c.program = program
	if len(c.fields) == 0 && !c.True(&schemas.Event{}, &Scratch{}) {
		return nil, fmt.Errorf("%q is never true", text)
	}
	return c, nil
}

// compileExpression makes an error of a panic: a rules file that makes the library
// fail must not end a process that only reloads its rules.
func compileExpression(text string, options []expr.Option) (program *vm.Program, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("it cannot be compiled: %v", fault)
		}
	}()
	return expr.Compile(text, options...)
}

// language is expr-lang without what reads a clock, the machine's time zones or an
// object in no order: a verdict is a function of the log.
func language() []expr.Option {
	return []expr.Option{
		expr.Optimize(false),
		expr.DisableBuiltin("now"), expr.DisableBuiltin("date"), expr.DisableBuiltin("duration"), expr.DisableBuiltin("timezone"),
		expr.DisableBuiltin("keys"), expr.DisableBuiltin("values"), expr.DisableBuiltin("toPairs"),
	}
}

func sampleEnv() map[string]any {
	env := make(map[string]any, len(eventFields))
	for name, id := range eventFields {
		if sample := id.sample(); sample != nil {
			env[name] = sample
		}
	}
	return env
}

// describeWhen keeps an error on one line and says where in the expression it is.
func describeWhen(text string, err error) error {
	var bad *file.Error
	if errors.As(err, &bad) {
		return fmt.Errorf("%q: %s (at character %d)", text, bad.Message, bad.Column+1)
	}
	return fmt.Errorf("%q: %w", text, err)
}

// True says whether an event fulfils the condition. An expression that goes wrong
// on an event is false.
func (c *Condition) True(ev *schemas.Event, s *Scratch) bool {
	if c.plain != nil {
		return c.plain(ev, s)
	}
	return c.run(ev, s)
}

// run has the virtual machine judge.
func (c *Condition) run(ev *schemas.Event, s *Scratch) bool {
	if s.env == nil {
		s.env = make(map[string]any)
	}
	s.known |= haveEnv
	for _, f := range c.fields {
		if _, ok := s.env[f.name]; !ok {
			s.env[f.name] = f.id.value(ev, f.name)
		}
	}
	result, err := s.machine.Run(c.program, s.env)
	return err == nil && isTrue(result)
}

// unknownFields names what the condition reads that is no field of the schema.
func (c *Condition) unknownFields() []string {
	var names []string
	for _, f := range c.fields {
		if f.id == fieldUnknown {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	return names
}

// String gives the condition as it was written.
func (c *Condition) String() string { return c.text }
