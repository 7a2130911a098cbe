package schemas

// traefikPaths is for Traefik's access log in JSON. ClientHost is the address that
// Traefik takes for the client's: an X-Forwarded-For that its entry point trusts, else
// the connection's. Where that header lists several, no single one of them is the
// client's, and the connection's address counts together with the list.
//
// https://doc.traefik.io/traefik/observability/access-logs/
func traefikPaths() []mapping {
	return []mapping{
		{path: "ClientHost", to: fieldClientIP},
		{path: "ClientAddr", to: fieldClientIP},
		{path: "request_X-Forwarded-For", to: fieldXForwardedFor},
		{path: "ClientHost", to: fieldXForwardedFor, as: asList},
		{path: "RequestMethod", to: fieldMethod},
		{path: "RequestPath", to: fieldPath, as: asURL},
		{path: "DownstreamStatus", to: fieldStatus},
		{path: "OriginStatus", to: fieldStatus},
		{path: "StartUTC", to: fieldTimestamp, as: asTime},
		{path: "StartLocal", to: fieldTimestamp, as: asTime},
		{path: "time", to: fieldTimestamp, as: asTime},
		{path: "Duration", to: fieldLatencyMS, as: asNanoseconds},
		{path: "RequestContentSize", to: fieldRequestBytes},
		{path: "DownstreamContentSize", to: fieldResponseBytes},
		{path: "RequestHost", to: fieldHost},
		{path: "RequestAddr", to: fieldHost},
		{path: "ServiceName", to: fieldService},
		{path: "RouterName", to: fieldService},
		{path: "ClientUsername", to: fieldUserID},
		{path: "request_User-Agent", to: fieldUserAgent},
		{path: "request_Referer", to: fieldReferer},
		{path: "request_X-Request-Id", to: fieldEventID},
	}
}
