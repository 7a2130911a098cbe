package schemas

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// AppendVerdict appends v as JSON, the value of a record of the verdict topic: byte
// for byte what encoding/json makes of it without HTML escapes.
func AppendVerdict(dst []byte, v *Verdict) []byte {
	dst = appendString(append(dst, `{"verdict_id":`...), v.VerdictID)
	dst = appendString(append(dst, `,"rule_id":`...), v.RuleID)
	dst = appendString(append(dst, `,"rule_version":`...), v.RuleVersion)
	dst = appendString(append(dst, `,"rule_type":`...), v.RuleType)
	dst = appendOptional(append(dst, `,"trigger":`...), v.Trigger, appendPosition)
	dst = appendString(append(dst, `,"scope":`...), string(v.Scope))
	dst = appendString(append(dst, `,"subject":`...), v.Subject)
	dst = appendString(append(dst, `,"endpoint":`...), v.Endpoint)
	dst = appendString(append(dst, `,"action":`...), string(v.Action))
	dst = appendString(append(dst, `,"action_taken":`...), v.ActionTaken)
	dst = appendInt(append(dst, `,"count":`...), v.Count)
	dst = appendOptional(append(dst, `,"threshold":`...), v.Threshold, appendFloat)
	dst = appendFloat(append(dst, `,"window_s":`...), v.WindowS)
	dst = appendOptional(append(dst, `,"score":`...), v.Score, appendFloat)
	dst = appendOptional(append(dst, `,"baseline":`...), v.Baseline, appendFloat)
	if v.EpisodeID != "" {
		dst = appendString(append(dst, `,"episode_id":`...), v.EpisodeID)
	}
	if v.Phase != "" {
		dst = appendString(append(dst, `,"phase":`...), string(v.Phase))
	}
	dst = appendString(append(dst, `,"details":`...), v.Details)
	dst = appendMicros(append(dst, `,"event_time":`...), v.EventTime)
	dst = appendOptional(append(dst, `,"record_time":`...), v.RecordTime, appendMicros)
	dst = appendMicros(append(dst, `,"detected_at":`...), v.DetectedAt)
	dst = appendOptional(append(dst, `,"expires_at":`...), v.ExpiresAt, appendMicros)
	dst = appendOptional(append(dst, `,"retry_after_s":`...), v.RetryAfterS, appendInt)
	dst = appendString(append(dst, `,"message":`...), v.Message)
	if len(v.Tags) > 0 {
		dst = appendStrings(append(dst, `,"tags":`...), v.Tags)
	}
	dst = appendMicros(append(dst, `,"evidence":{"from_time":`...), v.Evidence.FromTime)
	dst = appendMicros(append(dst, `,"to_time":`...), v.Evidence.ToTime)
	dst = appendString(append(dst, `,"trigger_event":`...), v.Evidence.Trigger)
	return append(dst, "}}"...)
}

// DecodeVerdict reads a value of the verdict topic into v, which it empties first.
func DecodeVerdict(b []byte, v *Verdict) error {
	*v = Verdict{}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decoding verdict: %w", err)
	}
	return nil
}

func appendPosition(dst []byte, p Position) []byte {
	dst = appendString(append(dst, `{"topic":`...), p.Topic)
	dst = strconv.AppendInt(append(dst, `,"partition":`...), int64(p.Partition), 10)
	dst = strconv.AppendInt(append(dst, `,"offset":`...), p.Offset, 10)
	return append(dst, '}')
}
