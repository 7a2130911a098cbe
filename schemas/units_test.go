package schemas_test

import (
	"encoding/json"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/apiwarden/apiwarden/schemas"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1m30s": 90 * time.Second, "24h": day, "7d": 7 * day,
		"1d12h": 36 * time.Hour, "1.5d": 36 * time.Hour, "0.5d30m": 12*time.Hour + 30*time.Minute,
		"90": 90 * time.Second, "0.5": 500 * time.Millisecond, ".25": 250 * time.Millisecond, "5.": 5 * time.Second,
		"0": 0, "0s": 0, "0.000001": time.Microsecond, "1767225600.123456": 1767225600*time.Second + 123456*time.Microsecond,
		"-90": -90 * time.Second, "-0.0000015": -2 * time.Microsecond, "0.0000015": 2 * time.Microsecond,
		"-1d12h": -36 * time.Hour, "+5": 5 * time.Second, "+1d": day, "100µs": 100 * time.Microsecond, "250ms": 250 * time.Millisecond,
		"104166d": 104166 * day, "-1.5": -1500 * time.Millisecond,
	} {
		if got, err := schemas.ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "d", "s", ".", "-", "+", "--1", "1e3", "0x10", "1_000", "inf", "nan", "infd", "nand", "0x1p3d", "1d-12h", "1d+12h",
		"1dd", "1d1d", "12h1d", "1,5", "90 s", "five", "1w", "200000d", "1e400", "9999999999", "106751d23h48m", "-999999d", "300y",
	} {
		if got, err := schemas.ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 90 * time.Second: "1m30s", time.Minute: "1m", 10 * time.Minute: "10m", time.Hour: "1h",
		90 * time.Minute: "1h30m", 24 * time.Hour: "1d", 168 * time.Hour: "7d", 36 * time.Hour: "36h", time.Hour + 5*time.Second: "1h0m5s",
		250 * time.Millisecond: "250ms", -90 * time.Second: "-1m30s", 100 * time.Hour: "100h",
	} {
		got := schemas.Duration(d).String()
		if got != want {
			t.Errorf("Duration(%v).String() = %q, want %q", d, got, want)
		}
		if back, err := schemas.ParseDuration(got); err != nil || back != d {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", got, back, err, d)
		}
	}
}

func TestUnitsInYAMLAndJSON(t *testing.T) {
	var got struct {
		Window, Ban, Quoted, Fraction schemas.Duration
		Max, Plain                    schemas.Size
	}
	text := "window: 3600\nban: 1d12h\nquoted: '90'\nfraction: 0.5\nmax: 256KiB\nplain: 4096\n"
	if err := yaml.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if time.Duration(got.Window) != time.Hour || time.Duration(got.Ban) != 36*time.Hour || time.Duration(got.Quoted) != 90*time.Second ||
		time.Duration(got.Fraction) != 500*time.Millisecond || got.Max != 256<<10 || got.Plain != 4096 {
		t.Errorf("read %+v", got)
	}
	b, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	back := got
	if err := yaml.Unmarshal(b, &back); err != nil || back != got {
		t.Errorf("written as %q, read back as %+v, %v", b, back, err)
	}
	if b, err := json.Marshal(got.Ban); err != nil || string(b) != `"36h"` {
		t.Errorf("json.Marshal = %s, %v", b, err)
	}
	for _, bad := range []string{"window: [1]", "window: soon", "max: -1", "max: lots", "max: 9EiB", "max: ''"} {
		if err := yaml.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestSizeText(t *testing.T) {
	for n, want := range map[schemas.Size]string{
		0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 1536: "1536", 256 << 10: "256KiB", 1 << 20: "1MiB", 4 << 30: "4GiB", 3 << 40: "3TiB",
	} {
		var back schemas.Size
		if got := n.String(); got != want {
			t.Errorf("Size(%d).String() = %q, want %q", n, got, want)
		} else if err := back.UnmarshalText([]byte(got)); err != nil || back != n {
			t.Errorf("%q was read as %d, %v", got, back, err)
		}
	}
}
