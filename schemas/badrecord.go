package schemas

// Reason says in one word why a record cannot be used. It is the value of the
// header apiwarden-reason of a dead letter and of the label reason of
// apiwarden_consumer_dead_letters_total, so the set is small and fixed.
type Reason string

// All reasons there are.
const (
	ReasonJSON       Reason = "json"       // not one JSON object, or nested too deeply, or (text presets) a line that does not parse
	ReasonUTF8       Reason = "utf8"       // bytes that are not UTF-8
	ReasonClientIP   Reason = "client_ip"  // absent or not an address
	ReasonMethod     Reason = "method"     // absent or empty
	ReasonPath       Reason = "path"       // absent or empty
	ReasonStatus     Reason = "status"     // absent or not 100 to 599
	ReasonTimestamp  Reason = "timestamp"  // there, but unreadable
	ReasonFuture     Reason = "future"     // further ahead than max_skew allows
	ReasonTooLarge   Reason = "too_large"  // over input.max_record_bytes
	ReasonLate       Reason = "late"       // too late to count, where the rules say late: dead_letter
	ReasonClickHouse Reason = "clickhouse" // a row that ClickHouse refuses for ever
)

// BadRecord is the error of a record that cannot be used: count it, dead-letter
// it, go on with the next.
type BadRecord struct {
	Reason Reason
	Detail string // what was found, for a person; may quote a little of the record
}

func (b *BadRecord) Error() string {
	if b.Detail == "" {
		return "bad record: " + string(b.Reason)
	}
	return "bad record: " + string(b.Reason) + ": " + b.Detail
}
