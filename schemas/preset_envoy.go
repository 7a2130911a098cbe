package schemas

// envoyPaths is for Envoy's json_format with the names of Istio's default, which
// most configurations follow, and of Envoy Gateway's. The client is who Envoy takes
// for it: DOWNSTREAM_REMOTE_ADDRESS honours use_remote_address and
// xff_num_trusted_hops.
//
// https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
// https://istio.io/latest/docs/tasks/observability/logs/access-log/
// https://gateway.envoyproxy.io/docs/tasks/observability/proxy-accesslog/
func envoyPaths() []mapping {
	return []mapping{
		{path: "downstream_remote_address", to: fieldClientIP},
		{path: "downstream_remote_address_without_port", to: fieldClientIP},
		{path: "start_time", to: fieldTimestamp, as: asTime},
		{path: "x-envoy-origin-path", to: fieldPath, as: asURL},
		{path: "path", to: fieldPath, as: asURL},
		{path: ":path", to: fieldPath, as: asURL},
		{path: ":method", to: fieldMethod},
		{path: "response_code", to: fieldStatus},
		{path: "duration", to: fieldLatencyMS},
		{path: "bytes_received", to: fieldRequestBytes},
		{path: "bytes_sent", to: fieldResponseBytes},
		{path: "authority", to: fieldHost},
		{path: ":authority", to: fieldHost},
		{path: "user-agent", to: fieldUserAgent},
		{path: "x-forwarded-for", to: fieldXForwardedFor},
		{path: "request_id", to: fieldEventID},
		{path: "x-request-id", to: fieldEventID},
		{path: "upstream_cluster", to: fieldService},
	}
}
