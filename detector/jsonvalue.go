package detector

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// jsonOperand is what a json: pattern compares with.
//
// == holds for a text that is the same without regard to case, for a number (or a
// text that is one) of the same value, for true and false by their names, and for
// null by the names null and none; never for an object or array. != holds for
// every value that is there and for which == does not hold, so for objects and
// arrays too: json:error!=null means that there is an error, whatever it looks
// like. The orderings need two numbers.
type jsonOperand struct {
	op       string
	text     []byte
	isNull   bool
	isNumber bool
	number   decimal
}

func newJSONOperand(op, text string) (jsonOperand, error) {
	text = strings.TrimSpace(text)
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		text = text[1 : n-1]
	}
	o := jsonOperand{op: op, text: []byte(text)}
	o.isNull = strings.EqualFold(text, "null") || strings.EqualFold(text, "none")
	o.number, o.isNumber = parseDecimal(o.text)
	if op != "==" && op != "!=" && !o.isNumber {
		return o, fmt.Errorf("%s needs a number, %q is none, so the pattern could never match", op, text)
	}
	return o, nil
}

// holds says whether value, one JSON value without blanks around it, stands in
// the relation.
func (o *jsonOperand) holds(value []byte, s *Scratch) bool {
	if len(value) == 0 {
		return false
	}
	var equal bool
	switch c := value[0]; {
	case c == '"':
		var text []byte
		text, s.json = unescape(s.json, value[1:max(1, len(value)-1)])
		if o.isNumber {
			if n, ok := parseDecimal(text); ok {
				return o.compares(n)
			}
		}
		equal = bytes.EqualFold(text, o.text)
	case c == '-' || c >= '0' && c <= '9':
		if n, ok := parseDecimal(value); ok && o.isNumber {
			return o.compares(n)
		}
		equal = bytes.EqualFold(value, o.text)
	case c == 'n':
		equal = o.isNull
	case c == 't' || c == 'f':
		equal = bytes.EqualFold(value, o.text)
	}
	switch o.op {
	case "==":
		return equal
	case "!=":
		return !equal
	}
	return false
}

// compares says whether n OP the operand, which is a number.
func (o *jsonOperand) compares(n decimal) bool {
	c := n.compare(&o.number)
	switch o.op {
	case "==":
		return c == 0
	case "!=":
		return c != 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	case "<":
		return c < 0
	}
	return c <= 0
}

// decimal is a number as JSON writes it, of any size: 0.DIGITS × 10^exp, where the
// digits are whole followed by fraction, without zeros at either end. Zero has no
// digits. Comparing two takes time in their length, not in their exponents.
type decimal struct {
	negative        bool
	whole, fraction []byte
	exp             int64
}

// maxExponentDigits bounds exponents to what int64 holds with room to spare;
// beyond it a text is no number.
const maxExponentDigits = 17

// parseDecimal reads a number in JSON's grammar, which b must be all of.
func parseDecimal(b []byte) (decimal, bool) {
	if len(b) == 0 || numberLength(b) != len(b) {
		return decimal{}, false
	}
	var d decimal
	if b[0] == '-' {
		d.negative = true
		b = b[1:]
	}
	if e := bytes.IndexAny(b, "eE"); e >= 0 {
		exp, ok := parseExponent(b[e+1:])
		if !ok {
			return decimal{}, false
		}
		d.exp = exp
		b = b[:e]
	}
	d.whole, d.fraction, _ = bytes.Cut(b, []byte{'.'})
	d.whole = bytes.TrimLeft(d.whole, "0")
	d.exp += int64(len(d.whole))
	d.fraction = bytes.TrimRight(d.fraction, "0")
	if len(d.fraction) == 0 {
		d.whole = bytes.TrimRight(d.whole, "0")
	}
	if len(d.whole) == 0 {
		n := len(d.fraction)
		d.fraction = bytes.TrimLeft(d.fraction, "0")
		d.exp -= int64(n - len(d.fraction))
		if len(d.fraction) == 0 {
			return decimal{}, true
		}
	}
	return d, true
}

func parseExponent(b []byte) (int64, bool) {
	negative := b[0] == '-'
	if b[0] == '-' || b[0] == '+' {
		b = b[1:]
	}
	b = bytes.TrimLeft(b, "0")
	if len(b) > maxExponentDigits {
		return 0, false
	}
	var n int64
	for _, c := range b {
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

func (d *decimal) digits() int { return len(d.whole) + len(d.fraction) }

// digit gives the digit at i, '0' beyond the end.
func (d *decimal) digit(i int) byte {
	if i < len(d.whole) {
		return d.whole[i]
	}
	if i -= len(d.whole); i < len(d.fraction) {
		return d.fraction[i]
	}
	return '0'
}

// compare gives -1, 0 or 1.
func (d *decimal) compare(other *decimal) int {
	sign := 1
	if d.negative {
		sign = -1
	}
	switch {
	case d.digits() == 0 && other.digits() == 0:
		return 0
	case d.digits() == 0:
		if other.negative {
			return 1
		}
		return -1
	case other.digits() == 0 || d.negative != other.negative:
		return sign
	case d.exp != other.exp:
		if d.exp < other.exp {
			return -sign
		}
		return sign
	}
	for i := range max(d.digits(), other.digits()) {
		if a, b := d.digit(i), other.digit(i); a != b {
			if a < b {
				return -sign
			}
			return sign
		}
	}
	return 0
}

// appendNumber appends a number in one way of all the ways to write it: 1, 1.0 and
// 10e-1 are 1. What is no number is appended as it stands.
func appendNumber(dst, text []byte) []byte {
	const longestPlain = 21
	d, ok := parseDecimal(text)
	if !ok {
		return append(dst, text...)
	}
	n := int64(d.digits())
	if n == 0 {
		return append(dst, '0')
	}
	if d.negative {
		dst = append(dst, '-')
	}
	switch {
	case d.exp >= n && d.exp <= max(n, longestPlain):
		dst = append(append(dst, d.whole...), d.fraction...)
		return append(dst, bytes.Repeat([]byte{'0'}, int(d.exp-n))...)
	case d.exp <= 0 && d.exp > -longestPlain:
		dst = append(append(dst, "0."...), bytes.Repeat([]byte{'0'}, int(-d.exp))...)
		return append(append(dst, d.whole...), d.fraction...)
	case d.exp > 0 && d.exp < n:
		for i := range int(n) {
			if int64(i) == d.exp {
				dst = append(dst, '.')
			}
			dst = append(dst, d.digit(i))
		}
		return dst
	}
	dst = append(append(append(dst, "0."...), d.whole...), d.fraction...)
	return strconv.AppendInt(append(dst, 'e'), d.exp, 10)
}
