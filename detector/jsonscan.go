package detector

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth is how deep a body may nest, as in encoding/json.
const maxJSONDepth = 10_000

// validJSON says whether b is one JSON value (RFC 8259) that nests no deeper than
// maxJSONDepth. It does not recurse. Whether texts are UTF-8 was the decoder's
// question.
func validJSON(b []byte) bool {
	var inObject [(maxJSONDepth + 63) / 64]uint64 // a bit a level
	depth := 0
	i := skipBlanks(b, 0)
	for {
		// A value begins here.
		if i >= len(b) {
			return false
		}
		switch b[i] {
		case '{', '[':
			if depth == maxJSONDepth {
				return false
			}
			object := b[i] == '{'
			i = skipBlanks(b, i+1)
			if i < len(b) && (object && b[i] == '}' || !object && b[i] == ']') {
				i++
				break
			}
			if object {
				inObject[depth/64] |= 1 << (depth % 64)
				if i = validKey(b, i); i < 0 {
					return false
				}
			} else {
				inObject[depth/64] &^= 1 << (depth % 64)
			}
			depth++
			continue
		default:
			if i = validScalar(b, i); i < 0 {
				return false
			}
		}
		// A value has ended; so may those around it.
		for {
			i = skipBlanks(b, i)
			if depth == 0 {
				return i == len(b)
			}
			if i == len(b) {
				return false
			}
			object := inObject[(depth-1)/64]>>((depth-1)%64)&1 != 0
			if object && b[i] == '}' || !object && b[i] == ']' {
				depth--
				i++
				continue
			}
			if b[i] != ',' {
				return false
			}
			i = skipBlanks(b, i+1)
			if object {
				if i = validKey(b, i); i < 0 {
					return false
				}
			}
			break
		}
	}
}

// validKey reads a member's name and the colon after it, and gives where its value
// begins, or -1.
func validKey(b []byte, i int) int {
	if i = validString(b, i); i < 0 {
		return -1
	}
	if i = skipBlanks(b, i); i == len(b) || b[i] != ':' {
		return -1
	}
	return skipBlanks(b, i+1)
}

func validScalar(b []byte, i int) int {
	switch c := b[i]; {
	case c == '"':
		return validString(b, i)
	case c == '-' || c >= '0' && c <= '9':
		n := numberLength(b[i:])
		if n == 0 {
			return -1
		}
		return i + n
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
			return i + len(word)
		}
	}
	return -1
}

func validString(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			i++
			if i == len(b) {
				return -1
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if _, ok := hex4(b[i+1:]); !ok {
					return -1
				}
				i += 4
			default:
				return -1
			}
		}
	}
	return -1
}

// numberLength gives the length of the JSON number at the start of b, 0 if none.
func numberLength[T string | []byte](b T) int {
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	whole := digitsAt(b, i)
	if whole == 0 || whole > 1 && b[i] == '0' {
		return 0
	}
	i += whole
	if i < len(b) && b[i] == '.' {
		n := digitsAt(b, i+1)
		if n == 0 {
			return 0
		}
		i += 1 + n
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		n := digitsAt(b, i)
		if n == 0 {
			return 0
		}
		i += n
	}
	return i
}

func digitsAt[T string | []byte](b T, i int) int {
	n := 0
	for i+n < len(b) && b[i+n] >= '0' && b[i+n] <= '9' {
		n++
	}
	return n
}

func skipBlanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString gives where the text that begins at b[i] ends; for valid JSON.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

// skipValue gives where the value that begins at b[i] ends; for valid JSON.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			i++
			continue
		default:
			i = skipWord(b, i+1)
		}
		if depth <= 0 {
			return i
		}
	}
	return len(b)
}

// skipWord gives where a number, true, false or null ends.
func skipWord(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case ',', ':', '{', '}', '[', ']', '"', ' ', '\t', '\n', '\r':
			return i
		}
	}
	return i
}

// compactJSON appends src without blanks between its tokens and with its texts
// escaped no more than they must be, whoever wrote it: only quote, backslash and
// control characters. buf is working space.
func compactJSON(dst, buf, src []byte) (compact, newBuf []byte) {
	for i := 0; i < len(src); {
		switch src[i] {
		case ' ', '\t', '\n', '\r':
			i++
		case '"':
			end := skipString(src, i)
			if bytes.IndexByte(src[i:end], '\\') < 0 {
				dst = append(dst, src[i:end]...)
			} else {
				var text []byte
				text, buf = unescape(buf, src[i+1:max(i+1, end-1)])
				dst = appendText(dst, text)
			}
			i = end
		default:
			dst = append(dst, src[i])
			i++
		}
	}
	return dst, buf
}

// appendText appends text in quotes.
func appendText(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(dst, '"')
}

// unescape gives the meaning of the text whose inside (without quotes) is raw: raw
// itself where nothing is escaped, else in buf. A lone surrogate becomes U+FFFD.
func unescape(buf, raw []byte) (text, newBuf []byte) {
	at := bytes.IndexByte(raw, '\\')
	if at < 0 {
		return raw, buf
	}
	buf = append(buf[:0], raw[:at]...)
	for i := at; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' || i+1 == len(raw) {
			buf = append(buf, c)
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			buf = append(buf, '\b')
		case 'f':
			buf = append(buf, '\f')
		case 'n':
			buf = append(buf, '\n')
		case 'r':
			buf = append(buf, '\r')
		case 't':
			buf = append(buf, '\t')
		case 'u':
			r, ok := hex4(raw[i+1:])
			if !ok {
				continue
			}
			i += 4
			if utf16.IsSurrogate(r) && i+2 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
				if low, ok := hex4(raw[i+3:]); ok {
					if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
						r = pair
						i += 6
					}
				}
			}
			buf = utf8.AppendRune(buf, r)
		default:
			buf = append(buf, raw[i])
		}
	}
	return buf, buf
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
