package schemas

// apiGatewayPaths is for AWS API Gateway's access log in JSON: the formats of the
// documentation for REST, HTTP and WebSocket APIs, and the names that configurations
// use for other $context variables. Where neither path nor resource path is logged,
// the route's template stands in for the path.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
func apiGatewayPaths() []mapping {
	return []mapping{
		{path: "ip", to: fieldClientIP},
		{path: "sourceIp", to: fieldClientIP},
		{path: "identity.sourceIp", to: fieldClientIP},
		{path: "httpMethod", to: fieldMethod},
		{path: "path", to: fieldPath, as: asURL},
		{path: "requestPath", to: fieldPath, as: asURL},
		{path: "resourcePath", to: fieldPath},
		{path: "resourcePath", to: fieldRoute, as: asTemplate},
		{path: "routeKey", to: fieldRoute, as: asRouteKey},
		{path: "requestTimeEpoch", to: fieldTimestamp, as: asTime},
		{path: "requestTime", to: fieldTimestamp, as: asTime},
		{path: "responseLatency", to: fieldLatencyMS},
		{path: "responseLength", to: fieldResponseBytes},
		{path: "requestId", to: fieldEventID},
		{path: "userAgent", to: fieldUserAgent},
		{path: "identity.userAgent", to: fieldUserAgent},
		{path: "domainName", to: fieldHost},
		{path: "apiId", to: fieldService},
		{path: "apiKeyId", to: fieldAPIKeyID},
		{path: "identity.apiKeyId", to: fieldAPIKeyID},
		{path: "principalId", to: fieldUserID},
		{path: "user", to: fieldUserID},
		{path: "caller", to: fieldUserID},
		{path: "xForwardedFor", to: fieldXForwardedFor},
	}
}
