package detector

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// What is held follows the clients that are active, not those that ever were.
func TestStateStaysWithTheActiveClients(t *testing.T) {
	e := NewEngine(mustLoad(t, `version: 1
rules:
  - {id: volume, type: usage, threshold: 100, window: 60s}
  - {id: paths, type: distinct, field: path, threshold: 20, window: 60s}
  - {id: grouped, type: usage, threshold: 100, window: 60s, group_by: [subject, endpoint]}
`), Options{Topic: "t", File: true})
	const perSecond = 100
	ev := schemas.Event{HasTime: true, Status: 200, Method: []byte("GET"), Path: []byte("/x")}
	var atOneMinute, peak Stats
	for i := range 3600 * perSecond {
		ev.Time = 1_700_000_000e6 + int64(i)*1e6/perSecond
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 10<<24+uint32(i))
		ev.ClientIP = netip.AddrFrom4(b)
		e.Observe(&ev, Record{Offset: int64(i)})
		if i == 120*perSecond {
			atOneMinute = e.Stats()
		}
		if s := e.Stats; i%perSecond == 0 {
			peak.Subjects, peak.StateBytes = max(peak.Subjects, s().Subjects), max(peak.StateBytes, s().StateBytes)
		}
	}
	// A window and the lateness hold 90 s of clients, two records each.
	if live := 90 * perSecond * 2; peak.Subjects > 3*live {
		t.Errorf("%d records at the peak for %d that are live", peak.Subjects, live)
	}
	if peak.StateBytes > 2*atOneMinute.StateBytes {
		t.Errorf("%d bytes at the peak, %d after two minutes", peak.StateBytes, atOneMinute.StateBytes)
	}
}

// One client that floods is held in a bounded log: what a threshold needs, not what
// was sent.
func TestFloodIsHeldInABoundedLog(t *testing.T) {
	for name, lateness := range map[string]string{"no lateness": "0s", "lateness": "30s"} {
		t.Run(name, func(t *testing.T) {
			e := NewEngine(mustLoad(t, "version: 1\nlateness: "+lateness+`
rules:
  - {id: volume, type: usage, threshold: 100, window: 1h}
  - {id: paths, type: distinct, field: query, threshold: 100, window: 1h}
`), Options{Topic: "t", File: true})
			ev := schemas.Event{HasTime: true, Status: 200, Method: []byte("GET"), Path: []byte("/x"), ClientIP: netip.MustParseAddr("192.0.2.1")}
			for i := range 500_000 {
				ev.Time = 1_700_000_000e6 + int64(i)*100
				ev.Query = binary.BigEndian.AppendUint64(nil, uint64(i))
				e.Observe(&ev, Record{Offset: int64(i)})
			}
			if live := e.arena.live * 8; live > 256<<10 {
				t.Errorf("half a million events of one client take %d bytes", live)
			}
		})
	}
}

// The steady path does not allocate.
func TestObserveDoesNotAllocate(t *testing.T) {
	e := NewEngine(mustLoad(t, sixRules), Options{Topic: "t", File: true})
	events := benchEvents(200_000, 1000, 1000)
	for i := range events {
		e.Observe(&events[i], Record{Offset: int64(i)})
		e.Take()
	}
	shift := events[len(events)-1].Time - events[0].Time
	i := 0
	perEvent := testing.AllocsPerRun(20_000, func() {
		ev := &events[i%len(events)]
		ev.Time += shift
		e.Observe(ev, Record{Offset: int64(i)})
		e.Take()
		i++
	})
	if perEvent > 0.05 { // a log or a table grows now and then
		t.Errorf("%.2f allocations an event", perEvent)
	}
}
