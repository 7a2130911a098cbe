package sink

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/schemas"
)

func TestControlsRoundTrip(t *testing.T) {
	c := testConfig(t)
	ch := openTest(t, c)
	now := schemas.Micros(time.Now().UnixMicro())
	text := func(m schemas.Micros) string { return m.Time().Format("2006-01-02 15:04:05.000000") }
	records := []ControlRecord{
		{
			Control:  schemas.Control{Scope: schemas.ScopeIP, Value: "192.0.2.7", Op: schemas.OpBan, For: schemas.Duration(1500 * time.Millisecond), Reason: "a\n\n'b'", By: "ünna", At: now},
			Position: schemas.Position{Topic: "apiwarden-control", Partition: 3, Offset: 1 << 40}, RecordTime: now + 7,
		},
		{
			Control:  schemas.Control{Scope: schemas.ScopeUser, Value: "b", Op: schemas.OpUnban, At: now},
			Position: schemas.Position{Topic: "apiwarden-control"}, RecordTime: schemas.Micros(time.Now().AddDate(0, -2, 0).UnixMicro()),
		},
	}
	for range 2 { // delivered again after a lost answer
		if err := ch.InsertControls(testContext(t), records); err != nil {
			t.Fatal(err)
		}
	}
	want := []map[string]any{
		{
			"scope": "ip", "value": "192.0.2.7", "op": "ban", "for_s": 1.5, "reason": "a\n\n'b'", "by": "ünna", "at": text(now),
			"expires_at": text(now + 1_500_000), "record_time": text(now + 7), "topic": "apiwarden-control", "partition": 3.0, "offset": float64(1 << 40),
		},
		{
			"scope": "user", "value": "b", "op": "unban", "for_s": nil, "reason": "", "by": "", "at": text(now),
			"expires_at": nil, "record_time": text(records[1].RecordTime), "topic": "apiwarden-control", "partition": 0.0, "offset": 0.0,
		},
	}
	got := rowsAs(t, c, "SELECT * FROM DB.controls FINAL ORDER BY scope SETTINGS output_format_json_quote_64bit_integers = 0")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}
