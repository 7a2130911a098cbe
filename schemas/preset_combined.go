package schemas

import "bytes"

// parseCombined reads a line of Apache's common or combined log format, which is
// nginx's predefined combined too. What nginx's shipped configuration (log_format
// main) adds, $http_x_forwarded_for in quotes after the user agent, is understood
// where it is a list of addresses; anything else at the end of the line is ignored.
//
// A request line that is none has the method "-" and stands as path as it is.
//
// https://httpd.apache.org/docs/2.4/logs.html#accesslog
// https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format
func parseCombined(d *Decoder, line []byte, ev *Event) *BadRecord {
	client, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return badLine("no blank after the client's address")
	}
	shut := bytes.Index(rest, []byte(`] "`))
	open := bytes.LastIndex(rest[:max(shut, 0)], []byte(" ["))
	if open < 0 {
		return badLine("no time in brackets with a request in quotes behind it")
	}
	_, user, _ := bytes.Cut(rest[:open], []byte{' '})
	instant := rest[open+2 : shut]
	rest = rest[shut+1:]

	request, rest, ok := cutRequest(rest)
	if !ok {
		return badLine("no status behind the request")
	}
	status, rest, _ := bytes.Cut(rest, []byte{' '})
	size, rest, _ := bytes.Cut(rest, []byte{' '})

	d.put(ev, fieldClientIP, textValue(client))
	d.put(ev, fieldUserID, logged(user))
	if ev.Time, ev.HasTime = parseCommonLog(instant); !ev.HasTime {
		d.refused.note(fieldTimestamp, textValue(instant))
	}
	method, target, protocol := splitRequest(d.plain(request))
	d.put(ev, fieldMethod, textValue(method))
	d.put(ev, fieldPath, textValue(target))
	d.put(ev, fieldStatus, textValue(status))
	if string(size) == "-" { // %b writes no bytes so
		size = []byte("0")
	}
	d.put(ev, fieldResponseBytes, textValue(size))
	d.extra(ev, "protocol", protocol)

	referer, rest, ok := cutQuoted(rest)
	if !ok {
		return nil
	}
	d.put(ev, fieldReferer, logged(d.plain(referer)))
	agent, rest, ok := cutQuoted(rest)
	if !ok {
		return nil
	}
	d.put(ev, fieldUserAgent, logged(d.plain(agent)))
	if chain, _, ok := cutQuoted(rest); ok {
		if _, isAddr := ParseAddr(chain[bytes.LastIndexByte(chain, ',')+1:]); isAddr {
			d.put(ev, fieldXForwardedFor, textValue(chain))
		}
	}
	return nil
}

// cutRequest takes the quoted request from the start of b. Not every server escapes
// quotes in it: it ends at the first quote with a status behind it.
func cutRequest(b []byte) (request, rest []byte, ok bool) {
	b = bytes.TrimLeft(b, " ")
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	b = b[1:]
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			if rest = b[i+1:]; len(rest) >= 2 && rest[0] == ' ' && (rest[1]-'0' <= 9 || rest[1] == '-') {
				return b[:i], rest[1:], true
			}
		}
	}
	return nil, nil, false
}

// cutQuoted takes a quoted text from the start of b; a backslash in it escapes a
// quote.
func cutQuoted(b []byte) (text, rest []byte, ok bool) {
	b = bytes.TrimLeft(b, " ")
	if len(b) == 0 || b[0] != '"' {
		return nil, b, false
	}
	b = b[1:]
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[:i], b[i+1:], true
		}
	}
	return nil, b, false
}

// plain resolves \" and \\ in a text of a log line. Other escapes, such as \x16,
// stand for bytes that need not be text, and are kept as they are written.
func (d *Decoder) plain(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	start := len(d.scratch)
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\') {
			i++
		}
		d.scratch = append(d.scratch, b[i])
	}
	return d.scratch[start:len(d.scratch):len(d.scratch)]
}

// logged is a text of a log line, where "-" means absent.
func logged(b []byte) value {
	if string(b) == "-" {
		return value{}
	}
	return value{raw: b, kind: kindText}
}

// extra keeps a text that is no field of an event.
func (d *Decoder) extra(ev *Event, name string, text []byte) {
	if len(text) == 0 || string(text) == "-" || !d.needs.has(fieldNone) {
		return
	}
	start := len(d.scratch)
	d.scratch = append(d.scratch, name...)
	key := d.scratch[start:len(d.scratch):len(d.scratch)]
	start = len(d.scratch)
	d.scratch = appendString(d.scratch, text)
	ev.Extra = append(ev.Extra, Member{Key: key, Value: d.scratch[start:len(d.scratch):len(d.scratch)]})
}

// badLine says why a line of text is no line of its preset.
func badLine(why string) *BadRecord { return &BadRecord{ReasonJSON, why} }
