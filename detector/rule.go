package detector

import (
	"math/bits"
	"net/netip"

	"github.com/apiwarden/apiwarden/schemas"
)

// Type is what a rule counts.
type Type string

const (
	TypeUsage         Type = "usage"
	TypeFrequency     Type = "frequency"
	TypeReturnPattern Type = "return_pattern"
	TypeDistinct      Type = "distinct"
	TypeRatio         Type = "ratio"
	TypeMatch         Type = "match"
	TypeWalk          Type = "walk"
	TypeLatency       Type = "latency"
	TypeStatusMix     Type = "status_mix"
	TypeRate          Type = "rate"
	TypeUnseen        Type = "unseen"
	TypeSize          Type = "size"
	TypeOutlier       Type = "outlier"
	TypeLeaky         Type = "leaky"
	TypeSequence      Type = "sequence"
)

// Ruleset is what a rules file or folder says, checked and with its defaults
// filled in. It is read only once ReadRules has returned it.
type Ruleset struct {
	Settings Settings
	Rules    []*Rule   // in file order, the files of a folder in name order
	Warnings []Problem // accepted all the same

	source Source // empty: not read from files
}

// Rule is one rule, its defaults filled in. Durations are in µs.
type Rule struct {
	ID   string
	Type Type
	File string
	Line int

	Endpoints []EndpointPattern // empty: every endpoint
	When      *Condition        // nil: none
	Pattern   *Pattern          // nil: none
	Field     *Field            // distinct; walk: nil is the id in the path

	Threshold   int64 // types that count; fires on event Threshold+1. match: 0
	Share       Share // ratio: fires when matching/seen is over it
	MaxStep     int64 // walk: how far from a known id the next may be
	MinVolume   int64 // ratio: seen events it takes to judge at all
	Window      int64
	HalfOpen    bool // window_edge: half_open
	Every       bool // emit: every
	Action      schemas.Action
	BanFor      int64 // ban
	ThrottleFor int64 // throttle

	Key              string   // the event field that is the subject; "" is the address
	KeyField         *Field   // the same; nil is the address
	GroupBy          []string // what counts alone besides the subject, sorted: endpoint, host, service, user_id, api_key_id
	Exempt           []netip.Prefix
	Passive          bool // by the rule or by the file
	ResetOnBan       bool
	MaxBansPerMinute int64 // 0: no budget
	Message          string
	Tags             []string

	Learned     bool   // latency, status_mix, rate, unseen, size, outlier
	Metric      Metric // outlier, size
	Sensitivity string // learned: low, normal, high
	Remind      int64  // learned: 0: never

	Version string // rule_version: 12 hex digits of what the rule decides by
}

// Share is a part of a whole as the exact fraction that a decimal stands for, so
// that 7 of 10 is not over 0.7.
type Share struct {
	Num, Den int64
}

// Over says whether matching out of seen is more than s.
func (s Share) Over(matching, seen int64) bool {
	mh, ml := bits.Mul64(uint64(matching), uint64(s.Den))
	sh, sl := bits.Mul64(uint64(seen), uint64(s.Num))
	return mh > sh || mh == sh && ml > sl
}

// Float gives s as verdicts print it.
func (s Share) Float() float64 {
	if s.Den == 0 {
		return 0
	}
	return float64(s.Num) / float64(s.Den)
}
