package schemas

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// ParseDuration reads Go's duration syntax with days added ("7d", "1d12h", "90s",
// "1.5m") or a bare number of seconds ("90", "0.5").
func ParseDuration(s string) (time.Duration, error) {
	if sec, err := strconv.ParseFloat(s, 64); err == nil && !strings.ContainsAny(s, "nNxXpP_") {
		return secondsToDuration(sec)
	}
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration (examples: 90s, 1m30s, 24h, 7d, or a number of seconds)", s)
		}
		whole, err := secondsToDuration(n * 86400)
		if err != nil || rest == "" {
			return whole, err
		}
		part, err := time.ParseDuration(rest)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration (examples: 90s, 1m30s, 24h, 7d, or a number of seconds)", s)
		}
		if strings.HasPrefix(days, "-") {
			part = -part
		}
		return whole + part, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration (examples: 90s, 1m30s, 24h, 7d, or a number of seconds)", s)
	}
	return d, nil
}

func secondsToDuration(sec float64) (time.Duration, error) {
	if sec > 9e9 || sec < -9e9 {
		return 0, fmt.Errorf("a duration of %g seconds is too long", sec)
	}
	return time.Duration(sec*1e6+0.5) * time.Microsecond, nil
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
