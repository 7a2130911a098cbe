package schemas

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestFieldsNamed(t *testing.T) {
	some := FieldsNamed("user_id", "response_bytes")
	for _, name := range EventFields() {
		required := strings.Contains(record(""), `"`+name+`"`)
		if want := required || name == "user_id" || name == "response_bytes"; some.Has(name) != want {
			t.Errorf("%s: %v, want %v", name, !want, want)
		}
		if !FieldsNamed(name).Has(name) || !FieldSet(0).Has(name) {
			t.Errorf("%s is not in its own set or not in that of all", name)
		}
	}
	if some.Has("mine") || !FieldsNamed("mine").Has("yours") || !some.Has("bytes") || !FieldsNamed("bytes").Has("response_bytes") {
		t.Error("unknown fields are one, and bytes is response_bytes")
	}
}

// Leaving out fields changes no other field and no judgement, in records of any shape.
func TestDecodeNeeds(t *testing.T) {
	sets := map[string]FieldSet{"none": FieldsNamed(), "unknown ones": FieldsNamed("mine")}
	for _, name := range EventFields() {
		sets[name] = FieldsNamed(name)
	}
	for preset, records := range needsRecords(t) {
		t.Run(preset, func(t *testing.T) {
			for name, needs := range sets {
				all, some := newDecoder(t, Options{Preset: preset}), newDecoder(t, Options{Preset: preset, Needs: needs})
				for _, in := range records {
					var want, got Event
					wantErr, err := all.Decode(in, &want), some.Decode(in, &got)
					if diff := cmp.Diff(wantErr, err); diff != "" {
						t.Fatalf("%s, needing %s: %s", in, name, diff)
					}
					if wantErr != nil {
						continue
					}
					leaveOut(&want, needs)
					if diff := cmp.Diff(want, got, cmpopts.EquateComparable(want.ClientIP), cmpopts.EquateEmpty()); diff != "" {
						t.Fatalf("%s, needing %s (-want +got):\n%s", in, name, diff)
					}
				}
			}
		})
	}
}

// needsRecords gives records by preset: those of the presets' tests, and some that
// are odd or cannot be used.
func needsRecords(t *testing.T) map[string][][]byte {
	records := map[string][][]byte{}
	for _, preset := range Presets() {
		files, err := filepath.Glob("testdata/presets/" + preset + ".*")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, ".golden") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
				records[preset] = append(records[preset], bytes.Clone(lines.Bytes()))
			}
		}
	}
	for _, more := range []string{
		``, `"client_ip":null`, `"user_id":"u\n","bytes":1,"query":"?q","mine":{"a":[1]},"path":"/a?b"`, `"timestamp":"x"`, `"user_agent":x`,
		`"route":"/{x}","service":"s","latency_ms":1.5,"request_bytes":1,"response_bytes":2,"api_key_id":"k","referer":"r","host":"h"`,
		`"peer_ip":"10.0.0.1","x_forwarded_for":"1.1.1.1, 2.2.2.2","response_body":"b","response_fields":{"a":1},"blocked":true,"event_id":"e"`,
	} {
		records["json"] = append(records["json"], []byte(record(more)))
	}
	return records
}

// leaveOut takes out of ev what is not in s.
func leaveOut(ev *Event, s FieldSet) {
	for name, text := range map[string]*[]byte{
		"event_id": &ev.EventID, "route": &ev.Route, "service": &ev.Service, "latency_ms": &ev.LatencyMS, "query": &ev.Query,
		"request_bytes": &ev.RequestBytes, "response_bytes": &ev.ResponseBytes, "user_agent": &ev.UserAgent, "user_id": &ev.UserID,
		"api_key_id": &ev.APIKeyID, "referer": &ev.Referer, "host": &ev.Host, "x_forwarded_for": &ev.XForwardedFor,
		"response_body": &ev.ResponseBody, "response_fields": &ev.ResponseFields,
	} {
		if !s.Has(name) {
			*text = nil
		}
	}
	ev.Blocked = ev.Blocked && s.Has("blocked")
	if !s.Has("peer_ip") {
		ev.PeerIP = Event{}.PeerIP
	}
	if !s.Has("mine") {
		ev.Extra = nil
	}
}
