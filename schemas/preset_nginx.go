package schemas

// nginxPaths is for nginx's log_format with escape=json. The names of members are
// the administrator's: these are nginx's variables, and the names of ingress-nginx's
// documented JSON format and of widespread configurations.
//
// https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format
// https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/log-format/
func nginxPaths() []mapping {
	return []mapping{
		{path: "remote_addr", to: fieldClientIP},
		{path: "clientip", to: fieldClientIP},
		{path: "remote_ip", to: fieldClientIP},
		{path: "request_method", to: fieldMethod},
		{path: "method", to: fieldMethod},
		{path: "verb", to: fieldMethod},
		{path: "request_uri", to: fieldPath, as: asURL},
		{path: "uri", to: fieldPath},
		{path: "request", to: fieldPath, as: asRequestLine},
		{path: "args", to: fieldQuery},
		{path: "query_string", to: fieldQuery},
		{path: "request_query", to: fieldQuery},
		{path: "response", to: fieldStatus},
		{path: "msec", to: fieldTimestamp, as: asTime},
		{path: "time_iso8601", to: fieldTimestamp, as: asTime},
		{path: "@timestamp", to: fieldTimestamp, as: asTime},
		{path: "time_local", to: fieldTimestamp, as: asTime},
		{path: "time", to: fieldTimestamp, as: asTime},
		{path: "request_time", to: fieldLatencyMS, as: asSeconds},
		{path: "duration", to: fieldLatencyMS, as: asSeconds},
		{path: "bytes_sent", to: fieldResponseBytes},
		{path: "body_bytes_sent", to: fieldResponseBytes},
		{path: "request_length", to: fieldRequestBytes},
		{path: "http_user_agent", to: fieldUserAgent},
		{path: "agent", to: fieldUserAgent},
		{path: "http_referer", to: fieldReferer},
		{path: "http_referrer", to: fieldReferer},
		{path: "referrer", to: fieldReferer},
		{path: "http_host", to: fieldHost},
		{path: "vhost", to: fieldHost},
		{path: "server_name", to: fieldHost},
		{path: "http_x_forwarded_for", to: fieldXForwardedFor},
		{path: "x_forward_for", to: fieldXForwardedFor},
		{path: "request_id", to: fieldEventID},
		{path: "remote_user", to: fieldUserID},
		{path: "service_name", to: fieldService},
	}
}
