package schemas

// caddyPaths is for Caddy's access log, which is JSON. The client is who Caddy takes
// for it: client_ip honours its trusted_proxies (from 2.7 on; before, remote_ip).
//
// https://caddyserver.com/docs/logging
// https://caddyserver.com/docs/caddyfile/directives/log
func caddyPaths() []mapping {
	return []mapping{
		{path: "request.client_ip", to: fieldClientIP},
		{path: "request.remote_ip", to: fieldClientIP},
		{path: "request.remote_addr", to: fieldClientIP},
		{path: "request.method", to: fieldMethod},
		{path: "request.uri", to: fieldPath, as: asURL},
		{path: "ts", to: fieldTimestamp, as: asTime},
		{path: "duration", to: fieldLatencyMS, as: asSeconds},
		{path: "bytes_read", to: fieldRequestBytes},
		{path: "size", to: fieldResponseBytes},
		{path: "request.host", to: fieldHost},
		{path: "request.headers.User-Agent", to: fieldUserAgent, as: asHeader},
		{path: "request.headers.Referer", to: fieldReferer, as: asHeader},
		{path: "request.headers.X-Forwarded-For", to: fieldXForwardedFor, as: asHeader},
		{path: "request.headers.X-Request-Id", to: fieldEventID, as: asHeader},
		{path: "request_id", to: fieldEventID},
		{path: "uuid", to: fieldEventID},
	}
}
