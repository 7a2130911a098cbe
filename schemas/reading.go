package schemas

import (
	"bytes"
	"slices"
)

// read sets the field of m to v unless an earlier mapping has done so.
func (d *Decoder) read(ev *Event, m mapping, v value, done *[fieldCount]bool) {
	switch m.as {
	case asRequestLine:
		method, target, _ := splitRequest(d.text(v))
		d.fill(ev, fieldMethod, textValue(method), done)
		d.fill(ev, fieldPath, textValue(target), done)
		return
	case asRouteKey:
		method, template, ok := bytes.Cut(d.text(v), []byte{' '})
		if ok && len(template) > 0 && template[0] == '/' {
			d.fill(ev, fieldMethod, textValue(method), done)
			d.fill(ev, fieldRoute, textValue(template), done)
			d.fill(ev, fieldPath, textValue(template), done)
		}
		return
	case asURL:
		host, target := splitURL(d.text(v))
		d.fill(ev, fieldHost, textValue(host), done)
		v = textValue(target)
	case asTemplate:
		if t := d.text(v); len(t) == 0 || t[0] != '/' {
			return
		}
	case asList:
		if bytes.IndexByte(d.text(v), ',') < 0 {
			return
		}
	case asSeconds:
		v = d.shift(v, 3)
	case asNanoseconds:
		v = d.shift(v, -6)
	case asHeader:
		v = d.header(v)
	case asTime:
		if !done[fieldTimestamp] {
			if ev.Time, ev.HasTime = d.vendorTime(v); !ev.HasTime {
				d.refused.note(fieldTimestamp, v)
			}
			done[fieldTimestamp] = ev.HasTime
		}
		return
	}
	d.fill(ev, m.to, v, done)
}

// fill sets a field that nothing usable has been found for yet.
func (d *Decoder) fill(ev *Event, f field, v value, done *[fieldCount]bool) {
	if done[f] || v.kind == kindNull || !d.needs.has(f) {
		return
	}
	d.set(ev, f, v)
	switch f {
	case fieldClientIP:
		done[f] = ev.ClientIP.IsValid()
	case fieldPeerIP:
		done[f] = ev.PeerIP.IsValid()
	case fieldMethod:
		done[f] = len(ev.Method) > 0
	case fieldPath:
		done[f] = len(ev.Path) > 0
	case fieldStatus:
		done[f] = ev.Status != 0
	case fieldTimestamp:
		done[f] = ev.HasTime
	default:
		done[f] = true
	}
}

// textValue is a string that stands without quotes and has no escapes; nothing
// where it is empty.
func textValue(b []byte) value {
	if len(b) == 0 {
		return value{}
	}
	return value{raw: b, kind: kindText}
}

// shift gives a number x 10^n, exactly.
func (d *Decoder) shift(v value, n int) value {
	b := d.number(v)
	if b == nil {
		return value{}
	}
	var x decimal
	x.parse(b)
	start := len(d.scratch)
	d.scratch = x.appendShifted(d.scratch, n)
	return value{raw: d.scratch[start:len(d.scratch):len(d.scratch)], kind: kindNumber}
}

// header gives one header's text: the lines of one that came several times are one
// list (RFC 9110, section 5.2).
func (d *Decoder) header(v value) value {
	switch v.kind {
	case kindObject: // OTLP's arrayValue, {"values": [...]}
		inner := anyValue(v)
		if inner.kind != kindArray {
			return value{}
		}
		v = inner
	case kindArray:
	default:
		return v
	}
	var joined []byte
	s := scanner{b: v.raw, stops: stops{b: v.raw}}
	for i := skipBlanks(v.raw, 1); v.raw[i] != ']'; {
		element, next := s.value(i, 1)
		if text := d.text(anyValue(element)); joined == nil {
			joined = text
		} else {
			joined = slices.Concat(joined, []byte(", "), text)
		}
		if i = skipBlanks(v.raw, next); v.raw[i] == ',' {
			i = skipBlanks(v.raw, i+1)
		}
	}
	return textValue(joined)
}

// vendorTime reads the times that logs of gateways have.
func (d *Decoder) vendorTime(v value) (int64, bool) {
	if t, ok := d.timeOf(v); ok {
		return t, true
	}
	s := d.stringOf(v)
	if t, ok := parseCommonLog(s); ok {
		return t, true
	}
	return parseISO8601(s)
}

// splitRequest takes a request line apart: "GET /x HTTP/1.1". A malformed one has
// the method "-" and stands as target as it is.
func splitRequest(line []byte) (method, target, protocol []byte) {
	method, target, ok := bytes.Cut(line, []byte{' '})
	if ok && isToken(method) {
		if cut := bytes.LastIndexByte(target, ' '); cut >= 0 && bytes.HasPrefix(target[cut+1:], []byte("HTTP/")) {
			target, protocol = target[:cut], target[cut+1:]
		}
		if target = bytes.Trim(target, " "); len(target) > 0 && (protocol != nil || target[0] == '/') {
			return method, target, protocol
		}
	}
	if len(line) == 0 {
		line = []byte("-")
	}
	return []byte("-"), line, nil
}

// isToken says whether b can be a method (RFC 9110, section 9.1: a token).
func isToken(b []byte) bool {
	for _, c := range b {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if c-'0' > 9 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0 {
				return false
			}
		}
	}
	return len(b) > 0
}

// splitURL takes the host and the target (path and query) from an absolute URL; what
// is no absolute URL is all target.
func splitURL(b []byte) (host, target []byte) {
	at := bytes.Index(b, []byte("://"))
	if at < 0 || len(bytes.Trim(b[:at], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-")) > 0 {
		return nil, b
	}
	host = b[at+3:]
	cut := bytes.IndexAny(host, "/?#")
	if cut < 0 {
		return withoutPort(host), []byte("/")
	}
	host, target = withoutPort(host[:cut:cut]), host[cut:]
	if target[0] != '/' {
		target = append([]byte("/"), target...)
	}
	return host, target
}

// withoutPort removes the port that a scheme has anyway.
func withoutPort(host []byte) []byte {
	host = bytes.TrimSuffix(host, []byte(":80"))
	return bytes.TrimSuffix(host, []byte(":443"))
}
