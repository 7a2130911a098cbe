package sink

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/schemas"
)

func redactedBatch(t *testing.T, list ...string) *EventBatch {
	t.Helper()
	r, err := newRedaction(list)
	if err != nil {
		t.Fatal(err)
	}
	return &EventBatch{redact: r, hash: newKeyedHash([]byte("0123456789abcdef"))}
}

func TestRedaction(t *testing.T) {
	b := redactedBatch(t, "response_body", "hash:user_id", "query", "hash:region", "card", "latency_ms", "hash:api_key_id")
	ev := fullEvent()
	ev.Extra = append(ev.Extra, schemas.Member{Key: []byte("card"), Value: []byte(`"4111"`)})
	ev.APIKeyID = nil
	for range 2 {
		b.Add(&ev, schemas.Position{}, 0, []byte("192.0.2.7"), []byte("GET /"))
	}
	const hashed = "32 hexadecimal digits"
	hex := regexp.MustCompile(`^[0-9a-f]{32}$`)
	got := map[string]string{}
	for i, name := range textColumns() {
		got[name] = b.textOf(1, i)
		if b.textOf(0, i) != b.textOf(1, i) {
			t.Errorf("%s of the same event: %q and %q", name, b.textOf(0, i), b.textOf(1, i))
		}
	}
	var extra map[string]any
	if err := json.Unmarshal([]byte(got["extra"]), &extra); err != nil {
		t.Fatal(err)
	}
	if s, _ := extra["region"].(string); hex.MatchString(s) {
		extra["region"] = hashed
	}
	if diff := cmp.Diff(map[string]any{"region": hashed, "n\n": 1.0}, extra); diff != "" {
		t.Errorf("extra (-want +got):\n%s", diff)
	}
	if hex.MatchString(got["user_id"]) {
		got["user_id"] = hashed
	}
	for name, want := range map[string]string{
		"response_body": "", "query": "", "user_id": hashed, "api_key_id": "", "user_agent": "curl/8", "subject": "192.0.2.7", "client_ip": "192.0.2.7",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
	if b.numbers[numberLatencyMS][0].there {
		t.Error("latency_ms is there, want it dropped")
	}
}

// TestRedactedAddress: what stands for the client in other columns goes with it.
func TestRedactedAddress(t *testing.T) {
	ev := schemas.Event{ClientIP: netip.MustParseAddr("192.0.2.7"), Method: []byte("GET"), Path: []byte("/")}
	for _, tc := range []struct {
		redact             []string
		client, subject, x string
	}{
		{[]string{"client_ip"}, "", "", "dropped"},
		{[]string{"hash:client_ip"}, "hash", "hash", "hashed alike"},
		{[]string{"hash:subject", "client_ip"}, "", "hash", "subject by its own rule"},
		{[]string{"client_ip", "hash:subject"}, "", "hash", "in either order"},
	} {
		b := redactedBatch(t, tc.redact...)
		b.Add(&ev, schemas.Position{}, 0, []byte("192.0.2.7"), nil)
		for i, want := range map[int]string{textClientIP: tc.client, textSubject: tc.subject} {
			got := b.textOf(0, i)
			if want == "hash" && (len(got) != 32 || strings.Contains(got, ".")) || want == "" && got != "" {
				t.Errorf("%s: %s = %q, want %q", tc.x, textColumns()[i], got, want)
			}
		}
	}
	b := redactedBatch(t, "hash:client_ip")
	b.Add(&ev, schemas.Position{}, 0, []byte("192.0.2.7"), nil)
	if b.textOf(0, textClientIP) != b.textOf(0, textSubject) {
		t.Error("the hashes of one address differ")
	}
}

func TestHashNeedsTheKey(t *testing.T) {
	value := []byte("alice")
	a, b := newKeyedHash([]byte("key one")).append(nil, value), newKeyedHash([]byte("key two")).append(nil, value)
	if string(a) == string(b) {
		t.Errorf("two keys give the same hash %s", a)
	}
	if again := newKeyedHash([]byte("key one")).append(nil, value); string(again) != string(a) {
		t.Errorf("one key gives %s and %s", a, again)
	}
}

func TestRedactionRefused(t *testing.T) {
	for _, entry := range []string{"", "hash:", "timestamp", "hash:status", "hash:latency_ms", "method"} {
		if _, err := newRedaction([]string{entry}); err == nil {
			t.Errorf("redact %q is accepted", entry)
		}
	}
}

// TestManyUnknownFields: of duplicates the last counts, and many cost no square.
func TestManyUnknownFields(t *testing.T) {
	b := redactedBatch(t)
	ev := schemas.Event{Method: []byte("GET")}
	for i := range 200_000 {
		ev.Extra = append(ev.Extra, schemas.Member{Key: fmt.Appendf(nil, "k%d", i%100_000), Value: fmt.Append(nil, i)})
	}
	b.Add(&ev, schemas.Position{}, 0, nil, nil)
	var extra map[string]int
	if err := json.Unmarshal([]byte(b.textOf(0, textExtra)), &extra); err != nil {
		t.Fatal(err)
	}
	if len(extra) != 100_000 || extra["k7"] != 100_007 {
		t.Errorf("%d fields, k7 = %d, want 100000 and 100007", len(extra), extra["k7"])
	}
}

func TestBatchOwnsItsBytes(t *testing.T) {
	b := redactedBatch(t)
	record := []byte("GET")
	ev := schemas.Event{Method: record, ClientIP: netip.MustParseAddr("192.0.2.7")}
	b.Add(&ev, schemas.Position{}, 0, nil, nil)
	copy(record, "???")
	if got := b.textOf(0, textMethod); got != "GET" {
		t.Errorf("method = %q after the record was reused, want GET", got)
	}
	size := b.Bytes()
	b.Reset()
	if b.Len() != 0 || b.Bytes() != 0 || size == 0 {
		t.Errorf("after Reset: %d rows, %d bytes (%d before)", b.Len(), b.Bytes(), size)
	}
}
