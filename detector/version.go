package detector

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// ruleVersion gives the rule_version of a rule: a hash of what it decides by, once
// defaults are filled in, so not of its id, message, tags and mode. It is part of
// every verdict_id and must never change for a rule that decides as it did: a new
// key is written only where it is not at its default, and no line of this text is
// ever written otherwise.
func ruleVersion(r *Rule) string {
	sum := sha256.Sum256([]byte(decidesBy(r)))
	return hex.EncodeToString(sum[:6])
}

// decidesBy is the text that is hashed: one "key=value" a line.
func decidesBy(r *Rule) string {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%s=%v\n", key, value) }
	line("type", r.Type)
	for _, e := range canonicalEndpoints(r.Endpoints) {
		line("endpoint", e)
	}
	if r.When != nil {
		line("when", strings.TrimSpace(r.When.String()))
	}
	if r.Pattern != nil {
		line("pattern", r.Pattern)
	}
	if r.Field != nil {
		line("field", r.Field)
	}
	line("action", r.Action)
	line("group_by", strings.Join(r.GroupBy, ","))
	for _, p := range canonicalPrefixes(r.Exempt) {
		line("exempt", p)
	}
	if r.Learned {
		line("sensitivity", r.Sensitivity)
		line("remind", r.Remind)
		if r.Metric != "" && r.Metric != MetricRequests {
			line("metric", r.Metric)
		}
		return b.String()
	}
	switch r.Type {
	case TypeRatio:
		line("threshold", fmt.Sprintf("%d/%d", r.Share.Num, r.Share.Den))
		line("min_volume", r.MinVolume)
	case TypeMatch:
	default:
		line("threshold", r.Threshold)
	}
	line("window", r.Window)
	line("half_open", r.HalfOpen)
	line("every", r.Every)
	switch r.Action {
	case schemas.ActionBan:
		line("ban_for", r.BanFor)
		line("reset_on_ban", r.ResetOnBan)
		line("max_bans_per_minute", r.MaxBansPerMinute)
	case schemas.ActionThrottle:
		line("throttle_for", r.ThrottleFor)
	}
	if r.MaxStep > 1 {
		line("max_step", r.MaxStep)
	}
	if r.Key != "" {
		line("key", r.Key)
	}
	return b.String()
}

// canonicalEndpoints sorts endpoints and leaves out what is there twice.
func canonicalEndpoints(patterns []EndpointPattern) []string {
	texts := make([]string, len(patterns))
	for i := range patterns {
		texts[i] = patterns[i].canonical()
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

func canonicalPrefixes(list []netip.Prefix) []string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}
