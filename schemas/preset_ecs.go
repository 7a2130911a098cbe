package schemas

// ecsPaths is for the Elastic Common Schema, its names nested or joined by dots.
// client is who a log's maker takes for the client, perhaps from a header; source is
// the connection's other end, and so the peer.
//
// https://www.elastic.co/docs/reference/ecs/ecs-http
// https://www.elastic.co/docs/reference/ecs/ecs-client
// https://www.elastic.co/docs/reference/ecs/ecs-source
func ecsPaths() []mapping {
	return []mapping{
		{path: "client.ip", to: fieldClientIP},
		{path: "client.address", to: fieldClientIP},
		{path: "source.ip", to: fieldClientIP},
		{path: "source.address", to: fieldClientIP},
		{path: "source.ip", to: fieldPeerIP},
		{path: "network.forwarded_ip", to: fieldXForwardedFor, as: asHeader},
		{path: "http.request.method", to: fieldMethod},
		{path: "url.path", to: fieldPath},
		{path: "url.original", to: fieldPath, as: asURL},
		{path: "url.full", to: fieldPath, as: asURL},
		{path: "url.query", to: fieldQuery},
		{path: "http.response.status_code", to: fieldStatus},
		{path: "@timestamp", to: fieldTimestamp, as: asTime},
		{path: "event.duration", to: fieldLatencyMS, as: asNanoseconds},
		{path: "http.request.bytes", to: fieldRequestBytes},
		{path: "http.request.body.bytes", to: fieldRequestBytes},
		{path: "http.response.bytes", to: fieldResponseBytes},
		{path: "http.response.body.bytes", to: fieldResponseBytes},
		{path: "http.response.body.content", to: fieldResponseBody},
		{path: "http.request.referrer", to: fieldReferer},
		{path: "user_agent.original", to: fieldUserAgent},
		{path: "url.domain", to: fieldHost},
		{path: "http.request.id", to: fieldEventID},
		{path: "event.id", to: fieldEventID},
		{path: "service.name", to: fieldService},
		{path: "user.id", to: fieldUserID},
		{path: "user.name", to: fieldUserID},
	}
}
