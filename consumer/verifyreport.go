package consumer

import (
	"encoding/json"
	"time"

	"github.com/apiwarden/apiwarden/schemas"
)

// VerifyReport says what a Verify has found.
type VerifyReport struct {
	Topic       string              `json:"topic"`  // whose records were judged once more
	Events      int64               `json:"events"` // records judged
	Seconds     float64             `json:"seconds"`
	EventsPerS  float64             `json:"events_per_s"`
	Expected    int64               `json:"expected"` // verdicts that the log gives, in the range asked for, and that are known
	Differences int64               `json:"differences"`
	Places      []VerifiedPlace     `json:"places"`
	Partitions  []VerifiedPartition `json:"partitions"`
	RuleSets    map[string][]string `json:"rule_sets"` // ids of the rules, by hash
	Findings    []Finding           `json:"findings"`  // the first thousand of the differences
	Notes       []string            `json:"notes"`     // what could not be looked at, and why
}

// maxFindings is how many differences are kept. All are counted.
const maxFindings = 1000

// VerifiedPlace counts what was found in one place: the verdict topic, or ClickHouse.
type VerifiedPlace struct {
	Name      string `json:"name"`
	Compared  int64  `json:"compared"`
	Missing   int64  `json:"missing"`
	Extra     int64  `json:"extra"`
	Different int64  `json:"different"`
	Unknown   int64  `json:"unknown"`  // what decides about them is deleted
	Repeated  int64  `json:"repeated"` // found once more; harmless
	Foreign   int64  `json:"foreign"`  // of another log, or of no single record, as those of learned rules: not compared
}

// VerifiedPartition says how a partition was judged.
type VerifiedPartition struct {
	Partition int32           `json:"partition"`
	From      int64           `json:"from"`
	Until     int64           `json:"until"`
	Events    int64           `json:"events"`
	KnownFrom *schemas.Micros `json:"known_from"` // event time; null: all verdicts are known
	InForce   []InForce       `json:"in_force"`
}

// InForce is a change of what decides, and from which offset it held.
type InForce struct {
	Offset    int64            `json:"offset"`
	At        *schemas.Micros  `json:"at"` // when it was journaled; null: no journal says so
	Rules     string           `json:"rules,omitempty"`
	Bytes     int64            `json:"bytes,omitempty"` // that a shard may hold
	Endpoints int              `json:"endpoints,omitempty"`
	Control   *schemas.Control `json:"control,omitempty"`
	Subject   string           `json:"subject,omitempty"` // of Control
}

// FindingKind says in what a place does not agree with the log.
type FindingKind string

// All kinds of findings.
const (
	FoundMissing   FindingKind = "missing"
	FoundExtra     FindingKind = "extra"
	FoundDifferent FindingKind = "different"
)

// Finding is a verdict in which a place does not agree with the log.
type Finding struct {
	Kind       FindingKind       `json:"kind"`
	Place      string            `json:"place"`
	VerdictID  string            `json:"verdict_id"`
	RuleID     string            `json:"rule_id"`
	Scope      schemas.Scope     `json:"scope"`
	Subject    string            `json:"subject"`
	Trigger    *schemas.Position `json:"trigger"`
	EventTime  schemas.Micros    `json:"event_time"`
	RecordTime *schemas.Micros   `json:"record_time"`
	At         string            `json:"at,omitempty"` // where it stands on the verdict topic
	Details    string            `json:"details"`
	Fields     []FieldDifference `json:"fields,omitempty"`
}

// FieldDifference is a field in which a verdict differs: what the log gives, and what
// was found.
type FieldDifference struct {
	Field string          `json:"field"`
	Want  json.RawMessage `json:"want"`
	Got   json.RawMessage `json:"got"`
}

// finish computes the totals.
func (r *VerifyReport) finish(took time.Duration) {
	for _, p := range r.Partitions {
		r.Events += p.Events
	}
	r.Seconds = took.Seconds()
	if took > 0 {
		r.EventsPerS = float64(r.Events) / r.Seconds
	}
}

// verified describes how a partition was judged.
func verified(r *rederiving, j *journal, journaled bool) VerifiedPartition {
	p := VerifiedPartition{Partition: r.tp.partition, From: r.from, Until: r.until, Events: r.records}
	if r.horizon != noHorizon {
		p.KnownFrom = &r.horizon
	}
	for _, e := range j.Entries {
		if e.Offset > r.until {
			break
		}
		f := InForce{Offset: e.Offset, Rules: e.Rules}
		if journaled {
			f.At = &e.At
		}
		if e.Bound != nil {
			f.Bytes, f.Endpoints = e.Bound.Bytes, e.Bound.Endpoints
		}
		if e.Control != nil {
			f.Control, f.Subject = &e.Control.Change, e.Control.subject()
		}
		p.InForce = append(p.InForce, f)
	}
	return p
}
