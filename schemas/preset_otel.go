package schemas

// otelPaths is for OpenTelemetry's HTTP server spans and logs: the semantic
// conventions' attributes (and the names they had before 1.21), at the top of the
// record or under attributes, there as an object or as OTLP's list of keys and
// values. client.address may be taken from a header, network.peer.address is the
// connection's other end.
//
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
func otelPaths() []mapping {
	attributes := []mapping{
		{path: "client.address", to: fieldClientIP},
		{path: "http.client_ip", to: fieldClientIP},
		{path: "network.peer.address", to: fieldClientIP},
		{path: "net.sock.peer.addr", to: fieldClientIP},
		{path: "network.peer.address", to: fieldPeerIP},
		{path: "net.sock.peer.addr", to: fieldPeerIP},
		{path: "http.request.method", to: fieldMethod},
		{path: "http.method", to: fieldMethod},
		{path: "url.path", to: fieldPath},
		{path: "http.target", to: fieldPath, as: asURL},
		{path: "url.full", to: fieldPath, as: asURL},
		{path: "http.url", to: fieldPath, as: asURL},
		{path: "url.query", to: fieldQuery},
		{path: "http.route", to: fieldRoute, as: asTemplate},
		{path: "http.response.status_code", to: fieldStatus},
		{path: "http.status_code", to: fieldStatus},
		{path: "http.server.request.duration", to: fieldLatencyMS, as: asSeconds},
		{path: "http.request.size", to: fieldRequestBytes},
		{path: "http.request.body.size", to: fieldRequestBytes},
		{path: "http.request_content_length", to: fieldRequestBytes},
		{path: "http.response.size", to: fieldResponseBytes},
		{path: "http.response.body.size", to: fieldResponseBytes},
		{path: "http.response_content_length", to: fieldResponseBytes},
		{path: "user_agent.original", to: fieldUserAgent},
		{path: "http.user_agent", to: fieldUserAgent},
		{path: "http.request.header.referer", to: fieldReferer, as: asHeader},
		{path: "http.request.header.x-forwarded-for", to: fieldXForwardedFor, as: asHeader},
		{path: "server.address", to: fieldHost},
		{path: "http.host", to: fieldHost},
		{path: "user.id", to: fieldUserID},
		{path: "enduser.id", to: fieldUserID},
		{path: "service.name", to: fieldService},
	}
	paths := []mapping{
		{path: "timeUnixNano", to: fieldTimestamp, as: asTime},
		{path: "startTimeUnixNano", to: fieldTimestamp, as: asTime},
		{path: "observedTimeUnixNano", to: fieldTimestamp, as: asTime},
		{path: "Timestamp", to: fieldTimestamp, as: asTime},
		{path: "@timestamp", to: fieldTimestamp, as: asTime},
		{path: "resource.attributes.service.name", to: fieldService},
		{path: "resource.service.name", to: fieldService},
		{path: "spanId", to: fieldEventID},
	}
	for _, m := range attributes {
		paths = append(paths, m, mapping{path: "attributes." + m.path, to: m.to, as: m.as})
	}
	return paths
}
