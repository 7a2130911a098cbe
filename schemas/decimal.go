package schemas

import (
	"math"
	"strconv"
)

// decimal is a number of JSON's grammar taken apart, so that nothing is rounded:
// 0.d1d2d3... x 10^point. Digits beyond the first forty only leave their trace in
// cut.
type decimal struct {
	digits [40]byte // 0 to 9; the first is not 0
	n      int
	point  int
	neg    bool
	cut    bool // digits other than 0 were left out
}

// parse reads b, which must be a number of JSON's grammar (see isNumber).
func (d *decimal) parse(b []byte) {
	*d = decimal{}
	i := 0
	if b[0] == '-' {
		d.neg = true
		i++
	}
	seenPoint := false
	for ; i < len(b) && b[i]|0x20 != 'e'; i++ {
		if b[i] == '.' {
			seenPoint = true
			continue
		}
		c := b[i] - '0'
		switch {
		case d.n == 0 && c == 0:
			if seenPoint {
				d.point--
			}
			continue
		case d.n < len(d.digits):
			d.digits[d.n] = c
			d.n++
		case c != 0:
			d.cut = true
		}
		if !seenPoint {
			d.point++
		}
	}
	if i < len(b) {
		d.point += exponent(b[i+1:])
	}
	for d.n > 0 && d.digits[d.n-1] == 0 {
		d.n--
	}
	if d.n == 0 {
		d.point = 0
	}
}

// exponent reads [-+]?[0-9]+ and stops growing at a million.
func exponent(b []byte) int {
	neg := b[0] == '-'
	if neg || b[0] == '+' {
		b = b[1:]
	}
	e := 0
	for _, c := range b {
		if e < 1_000_000 {
			e = e*10 + int(c-'0')
		}
	}
	if neg {
		return -e
	}
	return e
}

// whole gives the number x 10^shift without its fraction; false where it does not
// fit.
func (d *decimal) whole(shift int) (int64, bool) {
	n := d.point + shift
	if d.n == 0 || n <= 0 {
		return 0, true
	}
	if n > 19 {
		return 0, false
	}
	var u uint64
	for i := range n {
		u *= 10
		if i < d.n {
			u += uint64(d.digits[i])
		}
	}
	switch {
	case d.neg && u <= 1<<63:
		return -int64(u), true
	case !d.neg && u <= math.MaxInt64:
		return int64(u), true
	}
	return 0, false
}

// integral says whether the number has no fraction.
func (d *decimal) integral() bool { return d.n <= d.point && !d.cut || d.n == 0 }

// appendShifted appends the number x 10^shift as JSON text, without an exponent
// where it has a readable length.
func (d *decimal) appendShifted(dst []byte, shift int) []byte {
	if d.n == 0 {
		return append(dst, '0')
	}
	if d.neg {
		dst = append(dst, '-')
	}
	point := d.point + shift
	if point < -20 || point > len(d.digits) {
		for i := range d.n {
			dst = append(dst, '0'+d.digits[i])
		}
		return strconv.AppendInt(append(dst, 'e'), int64(point-d.n), 10)
	}
	if point <= 0 {
		dst = append(dst, '0', '.')
		for range -point {
			dst = append(dst, '0')
		}
	}
	for i := range max(d.n, point) {
		if i == point && i > 0 {
			dst = append(dst, '.')
		}
		if i < d.n {
			dst = append(dst, '0'+d.digits[i])
		} else {
			dst = append(dst, '0')
		}
	}
	return dst
}

// Float reads a number of an event (LatencyMS and its like); false where it is nil.
func Float(b []byte) (float64, bool) {
	if digits, places, ok := shortDecimal(b); ok {
		// Both are exact, so the quotient is the nearest there is (Clinger, PLDI 1990).
		return float64(digits) / float64(tens[places]), true
	}
	f, err := strconv.ParseFloat(string(b), 64)
	return f, err == nil
}

// Int reads a whole number of an event, written in any way (12, 12.0, 1.2e1);
// false where it is nil, has a fraction or does not fit.
func Int(b []byte) (int64, bool) {
	if digits, places, ok := shortDecimal(b); ok && places == 0 {
		return digits, true
	}
	if !isNumber(b) {
		return 0, false
	}
	var d decimal
	d.parse(b)
	if !d.integral() {
		return 0, false
	}
	return d.whole(0)
}

// tens are the powers of ten that shortDecimal may have as a divisor.
var tens = [...]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// shortDecimal reads what most numbers of logs are, up to 15 digits and perhaps a point
// between them, as digits / 10^places.
func shortDecimal(b []byte) (digits int64, places int, ok bool) {
	if len(b) == 0 || len(b) > len(tens) || b[0]-'0' > 9 || b[0] == '0' && len(b) > 1 && b[1] != '.' {
		return 0, 0, false
	}
	point := len(b)
	for i, c := range b {
		switch c -= '0'; {
		case c <= 9:
			digits = digits*10 + int64(c)
		case b[i] == '.' && point == len(b) && i < len(b)-1:
			point = i
		default:
			return 0, 0, false
		}
	}
	if point == len(b) {
		return digits, 0, len(b) < len(tens)
	}
	return digits, len(b) - 1 - point, true
}
