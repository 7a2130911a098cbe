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
}

// Decoder turns the bytes of records into events. It belongs to one goroutine.
type Decoder struct {
	max     int
	line    func(d *Decoder, line []byte, ev *Event) *BadRecord // of a preset of text lines
	shape   *shape                                              // nil: our own names and nothing else
	scan    scanner
	follow  followers
	minute  minute
	scratch []byte // of the batch: what had to be written anew, such as strings with escapes

	// Of the record at hand.
	clientIP, method, path, status, timestamp value // what check judges
	bytes                                     []byte
	found                                     []value // per mapping of shape
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
	d := &Decoder{max: o.MaxRecordBytes, line: p.line}
	if d.max == 0 {
		d.max = DefaultMaxRecordBytes
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
	if len(record) > d.max {
		return &BadRecord{ReasonTooLarge, fmt.Sprintf("%d bytes, %d are allowed", len(record), d.max)}
	}
	d.clientIP, d.method, d.path, d.status, d.timestamp = value{}, value{}, value{}, value{}, value{}
	d.bytes = nil
	if d.line != nil {
		return d.decodeLine(record, ev)
	}
	d.scan.b, d.scan.high = record, false
	at := 0
	if d.shape == nil {
		at = d.ownShape(ev)
	} else {
		at = d.shaped(ev)
	}
	// Bytes from 0x80 on are JSON only inside strings, so a record without any there
	// is ASCII and needs no look at its UTF-8.
	if (at < 0 || d.scan.high) && !utf8.Valid(record) {
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
	last := fieldNone
	for {
		var name []byte
		f, next := d.follow.next(b, i, last)
		switch {
		case f == fieldNone:
			if f, name, next = d.ownKey(i); next < 0 {
				return next
			}
			d.follow[last] = f
		case next < len(b) && b[next] <= ' ':
			next = skipBlanks(b, next)
		}
		v, next := d.scan.value(next, 1)
		if next < 0 {
			return next
		}
		if f != fieldNone {
			d.set(ev, f, v)
		} else {
			ev.Extra = append(ev.Extra, Member{Key: name, Value: v.raw})
		}
		last = f
		if next < len(b) && b[next] <= ' ' {
			next = skipBlanks(b, next)
		}
		switch {
		case next < len(b) && b[next] == ',':
			if i = next + 1; i < len(b) && b[i] <= ' ' {
				i = skipBlanks(b, i)
			}
		case next < len(b) && b[next] == '}':
			return end(b, next+1)
		default:
			return ^next
		}
	}
}

// ownKey reads a name and the colon behind it and says which field it is.
func (d *Decoder) ownKey(i int) (f field, name []byte, next int) {
	name, escaped, next := d.scan.key(i)
	if next >= 0 && escaped {
		name = d.unescape(name)
	}
	return fieldOf(name), name, next
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
		if ev.Query == nil {
			ev.Query = ev.Path[cut+1:]
		}
		ev.Path = ev.Path[:cut:cut]
	}
	if ev.ResponseBytes == nil {
		ev.ResponseBytes = d.bytes
	}
	switch {
	case !ev.ClientIP.IsValid():
		return unusable(ReasonClientIP, d.clientIP)
	case len(ev.Method) == 0:
		return unusable(ReasonMethod, d.method)
	case len(ev.Path) == 0:
		return unusable(ReasonPath, d.path)
	case ev.Status == 0:
		return unusable(ReasonStatus, d.status)
	case !ev.HasTime && d.timestamp.kind != kindNull:
		return unusable(ReasonTimestamp, d.timestamp)
	}
	return nil
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
