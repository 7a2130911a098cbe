package traffic

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apiwarden/apiwarden/detector"
	"github.com/apiwarden/apiwarden/schemas"
)

// Nobody but attackers is unlike its peers: neither the crawler nor the office nor the
// monitor, who have many times what others have all day long. The attackers are those that do
// much where others do little.
func TestOnlyAttackersAreOutliers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(`version: 1
rules:
  - {id: requests, type: outlier}
  - {id: errors, type: outlier, metric: errors}
  - {id: paths, type: outlier, metric: distinct_paths}
  - {id: cost, type: outlier, metric: cost}
  - {id: high, type: outlier, sensitivity: high}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := detector.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := schemas.NewDecoder(schemas.Options{Needs: p.Needs()})
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions(time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC))
	o.History, o.HistoryEvents = 48*time.Hour, 100_000
	tr := New(1, o)
	names := map[string]string{}
	for _, a := range tr.Attackers() {
		names[a.Addr.String()] = a.Name
	}
	e, b := detector.NewEngine(p, detector.Options{Topic: "f", File: true}), detector.NewBaselines(p, detector.BaselinesOptions{})
	var line []byte
	var ev schemas.Event
	var found []string
	var offset int64
	see := func() {
		if err := dec.Decode(line, &ev); err != nil {
			t.Fatal(err)
		}
		e.Observe(&ev, detector.Record{Offset: offset})
		e.Take()
		offset++
		summaries, mark := e.TakeSummaries()
		for i := range summaries {
			b.Merge(&summaries[i])
		}
		if mark == nil {
			return
		}
		mark.Partitions = 1
		b.Mark(mark)
		b.Close(b.Complete(), nil)
		for _, v := range b.Take() {
			name := names[v.Subject]
			if name == "" {
				t.Errorf("%s: %s", v.RuleID, v.Details)
			}
			if v.Phase == schemas.PhaseOpen && !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	for x := range tr.History() {
		line = x.AppendJSON(line[:0])
		see()
	}
	end := Event{Time: o.End.Add(time.Minute).UnixMicro(), Client: netip.MustParseAddr("203.0.113.1"), Method: "GET", Path: "/", Status: 200}
	line = end.AppendJSON(line[:0])
	see()
	slices.Sort(found)
	if d := cmp.Diff([]string{"path enumeration", "returning", "volume"}, found); d != "" {
		t.Errorf("attackers that are outliers (-want +got):\n%s", d)
	}
}
