package schemas

import "net/netip"

// Event is one API request as its gateway logged it. Decoder.Decode fills it; all
// byte slices point into the record that was decoded or into the Decoder's scratch
// space, so an Event is valid until the Decoder's next batch (a call of Decode, or of
// Begin) or until the record's bytes are reused, whichever comes first. Nobody keeps
// a reference to it.
//
// A nil slice means that the record does not have the field (or has null there);
// an empty one that is not nil means that the field is there and empty.
type Event struct {
	Raw []byte // the record as it came

	Time     int64 // event time, µs since 1970; only where HasTime
	HasTime  bool  // false: the record has no timestamp, its own (Kafka's) time counts
	ClientIP netip.Addr
	PeerIP   netip.Addr // the zero Addr where absent or not an address
	Status   uint16     // 100 to 599
	Blocked  bool       // enforcement already refused this request

	Method        []byte // upper case
	Path          []byte // without the query string
	Query         []byte // of the query field, else what follows "?" in path; without "?"
	Route         []byte // template, such as /users/{id}
	EventID       []byte
	Service       []byte
	Host          []byte
	UserAgent     []byte
	UserID        []byte
	APIKeyID      []byte
	Referer       []byte
	XForwardedFor []byte

	// Numbers as JSON text, checked to be numbers; see Float and Int.
	LatencyMS     []byte
	RequestBytes  []byte
	ResponseBytes []byte

	ResponseBody   []byte // the string's meaning (escapes resolved)
	ResponseFields []byte // the raw JSON object

	// Extra holds the fields that are none of the above, in the record's order.
	// A duplicate key appears twice; the last one counts (see Lookup).
	Extra []Member
}

// Member is one unknown field of an event: Key is unescaped, Value raw JSON.
type Member struct {
	Key   []byte
	Value []byte
}

// Reset makes e empty and keeps the capacity of Extra.
func (e *Event) Reset() {
	extra := e.Extra[:0]
	*e = Event{Extra: extra}
}

// Lookup gives the raw JSON of the unknown field named key, nil if there is none.
func (e *Event) Lookup(key string) []byte {
	for i := len(e.Extra) - 1; i >= 0; i-- {
		if string(e.Extra[i].Key) == key {
			return e.Extra[i].Value
		}
	}
	return nil
}

// AppendMember appends m as it stands in a JSON object: "key":value.
func AppendMember(dst []byte, m Member) []byte {
	dst = append(appendString(dst, m.Key), ':')
	return append(dst, m.Value...)
}
