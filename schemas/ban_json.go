package schemas

import (
	"encoding/json"
	"fmt"
)

// AppendBan appends b as JSON, the value of a record of the ban topic: byte for
// byte what encoding/json makes of it without HTML escapes.
func AppendBan(dst []byte, b *Ban) []byte {
	dst = appendString(append(dst, `{"scope":`...), string(b.Scope))
	dst = appendString(append(dst, `,"value":`...), b.Value)
	dst = appendString(append(dst, `,"action":`...), string(b.Action))
	dst = appendStrings(append(dst, `,"rule_ids":`...), b.RuleIDs)
	dst = appendString(append(dst, `,"reason":`...), b.Reason)
	dst = appendString(append(dst, `,"message":`...), b.Message)
	dst = appendOptional(append(dst, `,"retry_after_s":`...), b.RetryAfterS, appendInt)
	dst = appendMicros(append(dst, `,"since":`...), b.Since)
	dst = appendMicros(append(dst, `,"expires_at":`...), b.ExpiresAt)
	return append(dst, '}')
}

// DecodeBan reads a value of the ban topic into ban, which it empties first.
func DecodeBan(b []byte, ban *Ban) error {
	*ban = Ban{}
	if err := json.Unmarshal(b, ban); err != nil {
		return fmt.Errorf("decoding ban: %w", err)
	}
	return nil
}
