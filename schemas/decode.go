package schemas

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"
)

// DefaultMaxRecordBytes is how large a record may be where Options do not say.
const DefaultMaxRecordBytes = 1 << 20

// Options say how records become events.
type Options struct {
	Preset         string            // "" is json, our own names; see Presets
	Fields         map[string]string // event field -> gjson path into the record; beside or instead of a preset
	MaxRecordBytes int               // 0: 1 MiB
	Needs          FieldSet          // fields that are not in it are left out of events; 0: all are in it
}

// Decoder turns the bytes of records into events. It belongs to one goroutine.
type Decoder struct {
	max     int
	needs   FieldSet
	line    func(d *Decoder, line []byte, ev *Event) *BadRecord // of a preset of text lines
	shape   *shape                                              // nil: our own names and nothing else
	scan    scanner
	steps   *steps
	minute  minute
	scratch []byte // of the batch: what had to be written anew, such as strings with escapes

	// Of the record at hand.
	refused refusals
	bytes   []byte
	found   []value // per mapping of shape
}

// NewDecoder makes a decoder; the error says what is wrong with the options.
func NewDecoder(o Options) (*Decoder, error) {
	p, err := presetNamed(o.Preset)
	if err != nil {
		return nil, err
	}
	custom, err := customMappings(o.Fields)
	if err != nil {
		return nil, err
	}
	d := &Decoder{max: o.MaxRecordBytes, needs: o.Needs, line: p.line, steps: newSteps()}
	if d.max == 0 {
		d.max = DefaultMaxRecordBytes
	}
	if d.needs == 0 {
		d.needs = 1<<fieldCount - 1
	}
	switch {
	case d.max < 0:
		return nil, fmt.Errorf("max_record_bytes is %d, and must be more than 0", d.max)
	case p.line != nil && len(custom) > 0:
		return nil, fmt.Errorf("fields are paths into JSON, and records of preset %q are lines of text", p.name)
	case p.paths != nil:
		d.shape = newShape(slices.Concat(custom, p.paths, ownMappings(asTime)), true)
	case len(custom) > 0:
		d.shape = newShape(append(custom, ownMappings(asIs)...), false)
	}
	if d.shape != nil {
		d.found = make([]value, len(d.shape.mappings))
	}
	return d, nil
}

// Decode fills ev from record. The error is a *BadRecord. Slices of ev point into
// record and into d: ev is valid until the next call of Decode or Begin or until
// record's bytes are reused, whichever comes first. Nothing is allocated on the usual
// path.
func (d *Decoder) Decode(record []byte, ev *Event) error {
	d.Begin()
	return d.DecodeNext(record, ev)
}

// Begin starts a batch of records that are decoded by DecodeNext. It ends the life of
// the events that d has filled before.
func (d *Decoder) Begin() { d.scratch = d.scratch[:0] }

// DecodeNext is Decode for one more record of a batch: the events of a batch, each
// in an Event of its own, are valid together until the next call of Begin or Decode.
func (d *Decoder) DecodeNext(record []byte, ev *Event) error {
	ev.Reset()
	ev.Raw = record
	record = record[:len(record):len(record)] // what looks behind a value must not see what is no record's
	if len(record) > d.max {
		return &BadRecord{ReasonTooLarge, fmt.Sprintf("%d bytes, %d are allowed", len(record), d.max)}
	}
	d.refused.reset()
	d.bytes = nil
	if d.line != nil {
		return d.decodeLine(record, ev)
	}
	d.scan.begin(record)
	at := 0
	if d.shape == nil {
		at = d.ownShape(ev)
	} else {
		at = d.shaped(ev)
	}
	// Bytes from 0x80 on are JSON only inside strings, so a record without any there
	// is ASCII and needs no look at its UTF-8.
	if (at < 0 || d.scan.stops.high) && !utf8.Valid(record) {
		return notUTF8(record)
	}
	if at < 0 {
		return notJSON(record, ^at)
	}
	if d.shape != nil {
		d.apply(ev)
	}
	if bad := d.check(ev); bad != nil {
		return bad
	}
	return nil
}

// decodeLine is Decode for presets of text lines.
func (d *Decoder) decodeLine(line []byte, ev *Event) error {
	if !utf8.Valid(line) {
		return notUTF8(line)
	}
	if bad := d.line(d, bytes.TrimRight(line, "\r\n "), ev); bad != nil {
		return bad
	}
	if bad := d.check(ev); bad != nil {
		return bad
	}
	return nil
}

// ownShape reads a record of our own names in one pass. A negative result is ^ of
// the index at which the record stops being one JSON object.
func (d *Decoder) ownShape(ev *Event) int {
	b := d.scan.b
	i := skipBlanks(b, 0)
	if i >= len(b) || b[i] != '{' {
		return ^i
	}
	if i = skipBlanks(b, i+1); i < len(b) && b[i] == '}' {
		return end(b, i+1)
	}
	last := &d.steps[fieldNone]
	for {
		var name []byte
		at := last.likely
		next := i + at.size
		switch rest := b[i:]; {
		case at.at(rest):
		case last.other.at(rest):
			at, next = last.other, i+last.other.size
		default:
			if at, name, next = d.ownKey(i, last); next < 0 {
				return next
			}
		}
		last = at
		var v value
		if v, next = d.scan.quick(next); v.kind == kindNull {
			if v, next = d.scan.value(skipBlanks(b, next), 1); next < 0 {
				return next
			}
		}
		switch {
		case !d.needs.has(at.field):
		case at.field != fieldNone:
			d.set(ev, at.field, v)
		default:
			ev.Extra = append(ev.Extra, Member{Key: name, Value: v.raw})
		}
		if next >= len(b) || b[next] != ',' {
			if next = skipBlanks(b, next); next < len(b) && b[next] == '}' {
				return end(b, next+1)
			}
			if next >= len(b) || b[next] != ',' {
				return ^next
			}
		}
		i = next + 1
	}
}

// ownKey reads a name and the colon behind it and says which field it is: of names that
// are unexpected, that stand behind blanks, or with which the record nearly ends.
func (d *Decoder) ownKey(i int, last *step) (at *step, name []byte, next int) {
	b := d.scan.b
	i = skipBlanks(b, i)
	for _, at := range [...]*step{last.likely, last.other} {
		if at.size > 0 && at.size <= len(b)-i && string(b[i:i+at.size]) == at.text {
			return at, nil, i + at.size
		}
	}
	name, escaped, next := d.scan.key(i)
	if next >= 0 && escaped {
		name = d.unescape(name)
	}
	at = &d.steps[fieldOf(name)]
	last.learn(at)
	return at, name, next
}

// end checks that only white space follows the record's object.
func end(b []byte, i int) int {
	if i = skipBlanks(b, i); i < len(b) {
		return ^i
	}
	return i
}

// check completes ev once all of the record has been read, and judges it.
func (d *Decoder) check(ev *Event) *BadRecord {
	if cut := bytes.IndexByte(ev.Path, '?'); cut >= 0 {
		if ev.Query == nil && d.needs.has(fieldQuery) {
			ev.Query = ev.Path[cut+1:]
		}
		ev.Path = ev.Path[:cut:cut]
	}
	if ev.ResponseBytes == nil {
		ev.ResponseBytes = d.bytes
	}
	switch {
	case !ev.ClientIP.IsValid():
		return unusable(ReasonClientIP, d.refused.values[fieldClientIP])
	case len(ev.Method) == 0:
		return unusable(ReasonMethod, d.refused.values[fieldMethod])
	case len(ev.Path) == 0:
		return unusable(ReasonPath, d.refused.values[fieldPath])
	case ev.Status == 0:
		return unusable(ReasonStatus, d.refused.values[fieldStatus])
	case !ev.HasTime && d.refused.values[fieldTimestamp].kind != kindNull:
		return unusable(ReasonTimestamp, d.refused.values[fieldTimestamp])
	}
	return nil
}

// refusals remember what stood in a field that a record needs and was of no use.
type refusals struct {
	any    bool
	values [fieldTimestamp + 1]value // the last one, by field; the first fields are those
}

func (r *refusals) note(f field, v value) {
	r.any = true
	r.values[f] = v
}

func (r *refusals) reset() {
	if r.any {
		*r = refusals{}
	}
}

// quoted is how much of a value the detail of a bad record shows.
const quoted = 64

// unusable says what stood in a field that a record needs.
func unusable(r Reason, v value) *BadRecord {
	format := "%s"
	switch v.kind {
	case kindString:
		format = "%q"
		v.raw = v.raw[1 : len(v.raw)-1]
	case kindText:
		format = "%q"
	case kindNull:
		return &BadRecord{r, "absent"}
	}
	if len(v.raw) > quoted {
		v.raw = v.raw[:quoted]
		format += "..."
	}
	return &BadRecord{r, fmt.Sprintf(format, v.raw)}
}

// notJSON says where a record stops being one JSON object.
func notJSON(record []byte, at int) *BadRecord {
	if at >= len(record) {
		return &BadRecord{ReasonJSON, fmt.Sprintf("ends after %d bytes", len(record))}
	}
	return &BadRecord{ReasonJSON, fmt.Sprintf("%q at byte %d", record[at], at)}
}

// notUTF8 says where a record stops being UTF-8.
func notUTF8(record []byte) *BadRecord {
	at := 0
	for at < len(record) {
		r, size := utf8.DecodeRune(record[at:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		at += size
	}
	return &BadRecord{ReasonUTF8, fmt.Sprintf("byte %d", at)}
}
