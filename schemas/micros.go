package schemas

import (
	"encoding/json"
	"fmt"
	"time"
)

// Micros is an instant in µs since 1970. In JSON it is RFC 3339 in UTC with six
// digits of a second.
type Micros int64

const microsLayout = "2006-01-02T15:04:05.000000Z"

// Time gives m as a time in UTC.
func (m Micros) Time() time.Time { return time.UnixMicro(int64(m)).UTC() }

func (m Micros) String() string { return m.Time().Format(microsLayout) }

// MarshalJSON writes m as "2006-01-02T15:04:05.000000Z".
func (m Micros) MarshalJSON() ([]byte, error) {
	return appendMicros(make([]byte, 0, len(microsLayout)+2), m), nil
}

// UnmarshalJSON reads any RFC 3339 instant; what is finer than a µs is cut. As with
// all types of encoding/json, null changes nothing.
func (m *Micros) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("reading an instant: %w", err)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("reading an instant: %w", err)
	}
	*m = Micros(t.UnixMicro())
	return nil
}

func appendMicros(dst []byte, m Micros) []byte {
	dst = append(dst, '"')
	dst = m.Time().AppendFormat(dst, microsLayout)
	return append(dst, '"')
}
