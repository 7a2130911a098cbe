package schemas

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// ParseDuration reads Go's duration syntax with days added ("7d", "1d12h", "90s",
// "1.5m") or a bare number of seconds ("90", "0.5"), rounded to µs. A sign stands in
// front of the whole and nowhere else.
func ParseDuration(s string) (time.Duration, error) {
	unsigned := strings.TrimPrefix(s, "-")
	negative := len(unsigned) < len(s)
	if !negative {
		unsigned = strings.TrimPrefix(s, "+")
	}
	d, err := parseUnsigned(unsigned)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%q is too long for a duration (at most about 290 years)", s)
	case err != nil:
		return 0, fmt.Errorf("%q is no duration (examples: 90s, 1m30s, 24h, 7d, or a number of seconds)", s)
	case negative:
		return -d, nil
	}
	return d, nil
}

func parseUnsigned(s string) (time.Duration, error) {
	if number(s) {
		return seconds(s, 1)
	}
	var whole time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		if !number(days) {
			return 0, strconv.ErrSyntax
		}
		d, err := seconds(days, 86_400)
		if err != nil || rest == "" {
			return d, err
		}
		whole, s = d, rest
	}
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		return 0, strconv.ErrSyntax
	}
	part, err := time.ParseDuration(s)
	if err != nil {
		return 0, err
	}
	if whole+part < whole {
		return 0, strconv.ErrRange
	}
	return whole + part, nil
}

// number says whether s is a plain decimal number: not 1e3, 0x10 or inf.
func number(s string) bool {
	return strings.Trim(s, "0123456789.") == "" && strings.Count(s, ".") <= 1 && strings.Trim(s, ".") != ""
}

// seconds gives s x unit seconds.
func seconds(s string, unit float64) (time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, err
	}
	if f *= unit; f > 9e9 {
		return 0, strconv.ErrRange
	}
	return time.Duration(math.Round(f*1e6)) * time.Microsecond, nil
}

// Duration is a duration in configuration text; see ParseDuration.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(strings.TrimSpace(string(b)))
	*d = Duration(v)
	return err
}

// MarshalText writes d as Go does, whole days as days.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	const day = Duration(24 * time.Hour)
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Size is a number of bytes in configuration text, as in 256KiB, 1MiB, 4GiB or a
// bare number.
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(b []byte) error {
	n, err := humanize.ParseBytes(strings.TrimSpace(string(b)))
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is no size (examples: 256KiB, 1MiB, 4GiB, or a number of bytes)", b)
	}
	*s = Size(n)
	return nil
}

// MarshalText writes s with the largest unit that divides it.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	for _, u := range []struct {
		n    Size
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if s >= u.n && s%u.n == 0 {
			return strconv.FormatInt(int64(s/u.n), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
