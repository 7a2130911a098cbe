package schemas_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/apiwarden/apiwarden/schemas"
)

func TestMicrosJSON(t *testing.T) {
	for _, m := range []schemas.Micros{0, 1, -1, 1767225600_000000, 1767225600_123456, 7258118399_999999} {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		want := `"` + time.UnixMicro(int64(m)).UTC().Format("2006-01-02T15:04:05.000000Z") + `"`
		if string(b) != want || m.String() != want[1:len(want)-1] {
			t.Errorf("%d is written as %s and %s, want %s", int64(m), b, m, want)
		}
		var back schemas.Micros
		if err := json.Unmarshal(b, &back); err != nil || back != m {
			t.Errorf("%s is read as %d, %v, want %d", b, int64(back), err, int64(m))
		}
	}
	for text, want := range map[string]schemas.Micros{
		`"2026-01-01T01:00:00.1234569+01:00"`: 1767225600_123456,
		`"2026-01-01T00:00:00Z"`:              1767225600_000000,
		`"1969-12-31T23:59:59.9999999Z"`:      -1,
		`null`:                                42,
	} {
		m := schemas.Micros(42)
		if err := json.Unmarshal([]byte(text), &m); err != nil || m != want {
			t.Errorf("%s is read as %d, %v, want %d", text, int64(m), err, int64(want))
		}
	}
	for _, text := range []string{`""`, `"soon"`, `5`, `"2026-01-01"`, `{}`} {
		var m schemas.Micros
		if err := json.Unmarshal([]byte(text), &m); err == nil {
			t.Errorf("%s is read as %d, want an error", text, int64(m))
		}
	}
}
