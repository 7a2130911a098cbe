package schemas

// AppendJSON appends e as a record in our own shape. Decoding that gives the same
// event again, whatever preset e came from.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if e.HasTime {
		dst = appendMicros(append(dst, `"timestamp":`...), Micros(e.Time))
		dst = append(dst, ',')
	}
	dst = append(dst, `"client_ip":"`...)
	if e.ClientIP.IsValid() {
		dst = e.ClientIP.AppendTo(dst)
	}
	dst = append(dst, '"')
	if e.PeerIP.IsValid() {
		dst = e.PeerIP.AppendTo(append(dst, `,"peer_ip":"`...))
		dst = append(dst, '"')
	}
	dst = appendText(dst, `,"method":`, e.Method)
	dst = appendText(dst, `,"path":`, e.Path)
	dst = appendText(dst, `,"query":`, asQuery(e.Query))
	dst = appendInt(append(dst, `,"status":`...), int64(e.Status))
	dst = appendText(dst, `,"route":`, e.Route)
	dst = appendText(dst, `,"event_id":`, e.EventID)
	dst = appendText(dst, `,"service":`, e.Service)
	dst = appendText(dst, `,"host":`, e.Host)
	dst = appendText(dst, `,"user_agent":`, e.UserAgent)
	dst = appendText(dst, `,"user_id":`, e.UserID)
	dst = appendText(dst, `,"api_key_id":`, e.APIKeyID)
	dst = appendText(dst, `,"referer":`, e.Referer)
	dst = appendText(dst, `,"x_forwarded_for":`, e.XForwardedFor)
	dst = appendRaw(dst, `,"latency_ms":`, e.LatencyMS)
	dst = appendRaw(dst, `,"request_bytes":`, e.RequestBytes)
	dst = appendRaw(dst, `,"response_bytes":`, e.ResponseBytes)
	dst = appendText(dst, `,"response_body":`, e.ResponseBody)
	dst = appendRaw(dst, `,"response_fields":`, e.ResponseFields)
	if e.Blocked {
		dst = append(dst, `,"blocked":true`...)
	}
	for _, m := range e.Extra {
		dst = appendString(append(dst, ','), m.Key)
		dst = append(append(dst, ':'), m.Value...)
	}
	return append(dst, '}')
}

// asQuery protects a query that begins with "?" itself: decoding takes the first off.
func asQuery(query []byte) []byte {
	if len(query) == 0 || query[0] != '?' {
		return query
	}
	return append([]byte{'?'}, query...)
}

// appendText appends a member that is a text, where there is one.
func appendText(dst []byte, member string, text []byte) []byte {
	if text == nil {
		return dst
	}
	return appendString(append(dst, member...), text)
}

// appendRaw appends a member that is JSON already, where there is one.
func appendRaw(dst []byte, member string, raw []byte) []byte {
	if raw == nil {
		return dst
	}
	return append(append(dst, member...), raw...)
}
