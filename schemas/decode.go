package schemas

import (
	"bytes"
	"fmt"
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
	scan    scanner
	scratch []byte // what had to be written anew, such as strings with escapes

	// Of the record at hand: what stood in the fields that check judges.
	clientIP, method, path, status, timestamp value
	bytes                                     []byte
}

// NewDecoder makes a decoder; the error says what is wrong with the options.
func NewDecoder(o Options) (*Decoder, error) {
	d := &Decoder{max: o.MaxRecordBytes}
	if d.max == 0 {
		d.max = DefaultMaxRecordBytes
	}
	return d, nil
}

// Decode fills ev from record. The error is a *BadRecord. Slices of ev point into
// record and into d: ev is valid until the next call of Decode or until record's
// bytes are reused, whichever comes first. Nothing is allocated on the usual path.
func (d *Decoder) Decode(record []byte, ev *Event) error {
	ev.Reset()
	ev.Raw = record
	if len(record) > d.max {
		return &BadRecord{ReasonTooLarge, fmt.Sprintf("%d bytes, %d are allowed", len(record), d.max)}
	}
	d.scratch = d.scratch[:0]
	d.clientIP, d.method, d.path, d.status, d.timestamp = value{}, value{}, value{}, value{}, value{}
	d.bytes = nil
	d.scan.b, d.scan.high = record, false
	at := d.ownShape(ev)
	// Bytes from 0x80 on are JSON only inside strings, so a record without any there
	// is ASCII and needs no look at its UTF-8.
	if (at < 0 || d.scan.high) && !utf8.Valid(record) {
		return &BadRecord{ReasonUTF8, fmt.Sprintf("byte %d", invalidUTF8(record))}
	}
	if at < 0 {
		return notJSON(record, ^at)
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
	for {
		name, escaped, next := d.scan.key(i)
		if next < 0 {
			return next
		}
		v, next := d.scan.value(next, 1)
		if next < 0 {
			return next
		}
		if escaped {
			start := len(d.scratch)
			d.scratch = appendUnescaped(d.scratch, name)
			name = d.scratch[start:len(d.scratch):len(d.scratch)]
		}
		if f := fieldOf(name); f != fieldNone {
			d.set(ev, f, v)
		} else {
			ev.Extra = append(ev.Extra, Member{Key: name, Value: v.raw})
		}
		if next < len(b) && b[next] <= ' ' {
			next = skipBlanks(b, next)
		}
		switch {
		case next < len(b) && b[next] == ',':
			i = skipBlanks(b, next+1)
		case next < len(b) && b[next] == '}':
			return end(b, next+1)
		default:
			return ^next
		}
	}
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
	if v.raw == nil {
		return &BadRecord{r, "absent"}
	}
	format := "%s"
	if v.kind == kindString {
		format = "%q"
		v.raw = bytes.Trim(v.raw, `"`)
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

// invalidUTF8 gives the index of the first byte that is not UTF-8.
func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return len(b)
}
