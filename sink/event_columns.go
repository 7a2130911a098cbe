package sink

import (
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// The text columns of the events table, in the order in which a row's texts lie in
// an EventBatch.
const (
	textClientIP = iota
	textMethod
	textPath
	textQuery
	textRoute
	textService
	textHost
	textUserAgent
	textUserID
	textAPIKeyID
	textReferer
	textPeerIP
	textXForwardedFor
	textResponseBody
	textResponseFields
	textEventID
	textExtra
	textSubject
	textEndpoint
	textTopic
	eventTexts // how many there are
)

// The columns of the events table that hold a number or null.
const (
	numberLatencyMS = iota
	numberRequestBytes
	numberResponseBytes
	eventNumbers
)

// The other columns of the events table.
const (
	columnTimestamp = iota
	columnStatus
	columnBlocked
	columnPartition
	columnOffset
	columnRecordTime
	eventOthers
)

func textColumns() [eventTexts]string {
	return [...]string{
		textClientIP: "client_ip", textMethod: "method", textPath: "path", textQuery: "query", textRoute: "route",
		textService: "service", textHost: "host", textUserAgent: "user_agent", textUserID: "user_id",
		textAPIKeyID: "api_key_id", textReferer: "referer", textPeerIP: "peer_ip", textXForwardedFor: "x_forwarded_for",
		textResponseBody: "response_body", textResponseFields: "response_fields", textEventID: "event_id",
		textExtra: "extra", textSubject: "subject", textEndpoint: "endpoint", textTopic: "topic",
	}
}

func numberColumns() [eventNumbers]string {
	return [...]string{numberLatencyMS: "latency_ms", numberRequestBytes: "request_bytes", numberResponseBytes: "response_bytes"}
}

func textNamed(name string) int {
	names := textColumns()
	return slices.Index(names[:], name)
}

func numberNamed(name string) int {
	names := numberColumns()
	return slices.Index(names[:], name)
}

// eventColumns are the columns of an insert into the events table, in the order in
// which EventBatch.appendTo gives them: the texts, the numbers, the others. Texts are
// sent as String whatever the table has (see insertSettings).
func eventColumns() []clickhouse.ColumnNameAndType {
	columns := make([]clickhouse.ColumnNameAndType, 0, eventTexts+eventNumbers+eventOthers)
	for _, name := range textColumns() {
		columns = append(columns, clickhouse.ColumnNameAndType{Name: name, Type: "String"})
	}
	numbers := numberColumns()
	columns = append(columns,
		clickhouse.ColumnNameAndType{Name: numbers[numberLatencyMS], Type: "Nullable(Float64)"},
		clickhouse.ColumnNameAndType{Name: numbers[numberRequestBytes], Type: "Nullable(Int64)"},
		clickhouse.ColumnNameAndType{Name: numbers[numberResponseBytes], Type: "Nullable(Int64)"})
	others := [eventOthers]clickhouse.ColumnNameAndType{
		columnTimestamp:  {Name: "timestamp", Type: "DateTime64(6, 'UTC')"},
		columnStatus:     {Name: "status", Type: "UInt16"},
		columnBlocked:    {Name: "blocked", Type: "Bool"},
		columnPartition:  {Name: "partition", Type: "Int32"},
		columnOffset:     {Name: "offset", Type: "Int64"},
		columnRecordTime: {Name: "record_time", Type: "DateTime64(6, 'UTC')"},
	}
	return append(columns, others[:]...)
}
