package detector

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// Field is what a distinct or walk rule takes from an event: a field of it, or a member of
// response_fields or of an unknown field by a path of names with dots. It is
// immutable and safe for concurrent use.
type Field struct {
	text  string // as written
	id    eventField
	first string   // the name before the first dot
	path  []string // the names after it
}

// NewField reads a field's name or path.
func NewField(text string) (*Field, error) {
	names := strings.Split(text, ".")
	for _, name := range names {
		switch {
		case text == "":
			return nil, errors.New("it is empty; name an event field, such as path or response_fields.id")
		case name == "" || strings.TrimSpace(name) != name:
			return nil, fmt.Errorf("%q has an empty name or blanks in its path", text)
		case strings.Contains(name, "[]"):
			return nil, fmt.Errorf("%q: [] is many values, a field is one value of an event", text)
		}
	}
	f := &Field{text: text, id: eventFields[names[0]], first: names[0], path: names[1:]}
	if len(f.path) > 0 && f.id == fieldResponseBody {
		return nil, fmt.Errorf("%q: response_body is text; paths lead into response_fields", text)
	}
	if len(f.path) > 0 && f.id != fieldUnknown && f.id != fieldResponseFields {
		return nil, fmt.Errorf("%q: %s is one value, nothing is below it", text, f.first)
	}
	return f, nil
}

// Value gives the field's value as text, the same for values that are the same: a
// number without regard to how it is written, an object or array as compact JSON.
// False: the event lacks the field, or has null there. What it returns is valid
// until the next call with s or until the event's bytes are reused.
func (f *Field) Value(ev *schemas.Event, s *Scratch) ([]byte, bool) {
	switch f.id {
	case fieldUnknown:
		return f.member(ev, s)
	case fieldResponseFields:
		if ev.ResponseFields == nil {
			return nil, false
		}
		return f.walk(ev.ResponseFields, s)
	case fieldClientIP:
		if !ev.ClientIP.IsValid() {
			return nil, false
		}
		s.value = ev.ClientIP.AppendTo(s.value[:0])
	case fieldPeerIP:
		if !ev.PeerIP.IsValid() {
			return nil, false
		}
		s.value = ev.PeerIP.AppendTo(s.value[:0])
	case fieldStatus:
		s.value = strconv.AppendUint(s.value[:0], uint64(ev.Status), 10)
	case fieldTimestamp:
		if !ev.HasTime {
			return nil, false
		}
		s.value = strconv.AppendInt(s.value[:0], ev.Time, 10)
	case fieldBlocked:
		s.value = strconv.AppendBool(s.value[:0], ev.Blocked)
	case fieldLatencyMS, fieldRequestBytes, fieldResponseBytes:
		n := f.id.number(ev)
		if n == nil {
			return nil, false
		}
		s.value = appendNumber(s.value[:0], n)
	default:
		text := f.id.text(ev)
		return text, text != nil
	}
	return s.value, true
}

// member finds an unknown field: by the whole text, for a field that has dots in
// its name, else by the name before the first dot.
func (f *Field) member(ev *schemas.Event, s *Scratch) ([]byte, bool) {
	if raw := ev.Lookup(f.text); raw != nil {
		return jsonText(raw, s)
	}
	raw := ev.Lookup(f.first)
	if raw == nil || len(f.path) == 0 {
		return nil, false
	}
	return f.walk(raw, s)
}

func (f *Field) walk(raw []byte, s *Scratch) ([]byte, bool) {
	for _, name := range f.path {
		raw = raw[skipBlanks(raw, 0):]
		if raw, s.json = member(raw, name, s.json); raw == nil {
			return nil, false
		}
	}
	return jsonText(raw, s)
}

// jsonText gives a JSON value as text; false for null.
func jsonText(raw []byte, s *Scratch) ([]byte, bool) {
	raw = raw[skipBlanks(raw, 0):]
	if len(raw) == 0 {
		return nil, false
	}
	switch c := raw[0]; {
	case c == 'n':
		return nil, false
	case c == '"':
		end := skipString(raw, 0)
		var text []byte
		text, s.value = unescape(s.value, raw[1:max(1, end-1)])
		return text, true
	case c == '{' || c == '[':
		s.value, s.json = compactJSON(s.value[:0], s.json, raw)
		return s.value, true
	case c == 't' || c == 'f':
		return raw[:skipWord(raw, 0)], true
	}
	s.value = appendNumber(s.value[:0], raw[:skipWord(raw, 0)])
	return s.value, true
}

// String gives the field as it was written.
func (f *Field) String() string { return f.text }
