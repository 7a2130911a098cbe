package sink

import (
	"strings"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

func TestClickHouseConfigRefused(t *testing.T) {
	if err := DefaultClickHouseConfig().Validate(); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
	bad := ClickHouseConfig{
		Addresses: []string{"http://a:8123", " "},
		Protocol:  "tcp",
		Database:  "api-warden; DROP TABLE x",
		Cluster:   "a'b",
		TLS:       TLSConfig{CA: "ca.pem"},
		Redact:    []string{"status"},
		TTL:       TTLConfig{Events: schemas.Duration(-1)},
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"http://a:8123", "empty address", `"tcp"`, "api-warden", "clickhouse.username", "a'b", "tls.enabled", `"status"`, "clickhouse.ttl",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in:\n%v", want, err)
		}
	}
	if err := (ClickHouseConfig{}).Validate(); err == nil || !strings.Contains(err.Error(), "clickhouse.addresses is empty") {
		t.Errorf("without addresses: %v", err)
	}
}

func TestDay(t *testing.T) {
	for _, tc := range []struct {
		micros int64
		want   int
	}{{0, 0}, {dayMicros - 1, 0}, {dayMicros, 1}, {-1, -1}, {-dayMicros, -1}, {-dayMicros - 1, -2}} {
		if got := day(tc.micros); got != tc.want {
			t.Errorf("day(%d) = %d, want %d", tc.micros, got, tc.want)
		}
	}
}
