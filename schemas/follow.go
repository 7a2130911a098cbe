package schemas

// keyTexts are the members' names of our own shape as writers of JSON write them,
// up to the value.
var keyTexts = [fieldCount]string{
	fieldClientIP:       `"client_ip":`,
	fieldMethod:         `"method":`,
	fieldPath:           `"path":`,
	fieldStatus:         `"status":`,
	fieldTimestamp:      `"timestamp":`,
	fieldEventID:        `"event_id":`,
	fieldRoute:          `"route":`,
	fieldService:        `"service":`,
	fieldLatencyMS:      `"latency_ms":`,
	fieldQuery:          `"query":`,
	fieldRequestBytes:   `"request_bytes":`,
	fieldResponseBytes:  `"response_bytes":`,
	fieldBytes:          `"bytes":`,
	fieldUserAgent:      `"user_agent":`,
	fieldUserID:         `"user_id":`,
	fieldAPIKeyID:       `"api_key_id":`,
	fieldReferer:        `"referer":`,
	fieldHost:           `"host":`,
	fieldPeerIP:         `"peer_ip":`,
	fieldXForwardedFor:  `"x_forwarded_for":`,
	fieldResponseBody:   `"response_body":`,
	fieldResponseFields: `"response_fields":`,
	fieldBlocked:        `"blocked":`,
}

// followers remember of each field which one came after it last time. A writer of
// records has one order, so the next name is nearly always known before it is read:
// it is compared, not scanned, and needs no look-up.
type followers [fieldCount]field

// next reads the name and colon at i where they are those that followed last; f is
// fieldNone where they are not.
func (n *followers) next(b []byte, i int, last field) (f field, next int) {
	f = n[last]
	text := keyTexts[f]
	if next = i + len(text); next > len(b) || string(b[i:next]) != text {
		return fieldNone, i
	}
	return f, next
}
