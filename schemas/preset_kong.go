package schemas

// kongPaths is for the log object of Kong's http-log, file-log, tcp-log and kafka-log
// plugins. The client is who Kong takes for it: client_ip honours its trusted_ips.
// Kong's routes are path prefixes, not templates.
//
// https://developer.konghq.com/plugins/http-log/#log-format
// https://developer.konghq.com/plugins/file-log/#log-format
func kongPaths() []mapping {
	return []mapping{
		{path: "request.method", to: fieldMethod},
		{path: "request.uri", to: fieldPath, as: asURL},
		{path: "request.url", to: fieldPath, as: asURL},
		{path: "response.status", to: fieldStatus},
		{path: "started_at", to: fieldTimestamp, as: asTime},
		{path: "latencies.request", to: fieldLatencyMS},
		{path: "request.size", to: fieldRequestBytes},
		{path: "response.size", to: fieldResponseBytes},
		{path: "request.headers.host", to: fieldHost},
		{path: "request.headers.user-agent", to: fieldUserAgent, as: asHeader},
		{path: "request.headers.referer", to: fieldReferer, as: asHeader},
		{path: "request.headers.x-forwarded-for", to: fieldXForwardedFor, as: asHeader},
		{path: "request.id", to: fieldEventID},
		{path: "service.name", to: fieldService},
		{path: "service.id", to: fieldService},
		{path: "consumer.id", to: fieldUserID},
		{path: "consumer.username", to: fieldUserID},
		{path: "authenticated_entity.consumer_id", to: fieldUserID},
		{path: "authenticated_entity.id", to: fieldAPIKeyID},
	}
}
