package schemas

import "bytes"

// parseALB reads a line of the access log of an AWS Application Load Balancer. The
// event's time is that of the response; latency is the sum of the three processing
// times, absent where one of them is -1.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
func parseALB(d *Decoder, line []byte, ev *Event) *BadRecord {
	var fields [32][]byte
	n := splitFields(line, &fields)
	if n <= albUserAgent {
		return badLine("fewer fields than the log of a load balancer has")
	}
	method, target, protocol := splitRequest(d.plain(fields[albRequest]))
	host, target := splitURL(target)
	if domain := fields[albDomain]; len(domain) > 0 && string(domain) != "-" {
		host = domain
	}
	d.put(ev, fieldTimestamp, textValue(fields[albTime]))
	d.put(ev, fieldClientIP, textValue(fields[albClient]))
	d.put(ev, fieldMethod, textValue(method))
	d.put(ev, fieldPath, textValue(target))
	d.put(ev, fieldStatus, textValue(fields[albStatus]))
	d.put(ev, fieldRequestBytes, textValue(fields[albReceived]))
	d.put(ev, fieldResponseBytes, textValue(fields[albSent]))
	d.put(ev, fieldUserAgent, logged(d.plain(fields[albUserAgent])))
	d.put(ev, fieldHost, logged(host))
	d.put(ev, fieldEventID, logged(fields[albTrace]))
	if d.needs.has(fieldLatencyMS) {
		ev.LatencyMS = d.sumOfSeconds(fields[albRequestTime], fields[albTargetTime], fields[albResponseTime])
	}
	d.extra(ev, "protocol", protocol)
	for i, name := range albExtra() {
		if name != "" {
			d.extra(ev, name, fields[i])
		}
	}
	return nil
}

// Where the fields stand in a line.
const (
	albTime         = 1
	albClient       = 3
	albRequestTime  = 5
	albTargetTime   = 6
	albResponseTime = 7
	albStatus       = 8
	albReceived     = 10
	albSent         = 11
	albRequest      = 12
	albUserAgent    = 13
	albTrace        = 17
	albDomain       = 18
)

// albExtra names the fields that an event does not have.
func albExtra() [30]string {
	return [30]string{
		0: "type", 2: "elb", 4: "target", 9: "target_status_code",
		14: "ssl_cipher", 15: "ssl_protocol", 16: "target_group_arn",
		20: "matched_rule_priority", 21: "request_creation_time", 22: "actions_executed",
		23: "redirect_url", 24: "error_reason", 27: "classification",
		28: "classification_reason", 29: "conn_trace_id",
	}
}

// splitFields splits a line at its blanks, quoted texts being one field, and gives
// how many there are. Fields beyond the array's end are left out.
func splitFields(line []byte, fields *[32][]byte) int {
	n := 0
	for n < len(fields) {
		line = bytes.TrimLeft(line, " ")
		if len(line) == 0 {
			break
		}
		text, rest, ok := cutQuoted(line)
		if !ok {
			text, rest, _ = bytes.Cut(line, []byte{' '})
		}
		fields[n], line = text, rest
		n++
	}
	return n
}

// sumOfSeconds gives the sum of times in seconds as ms, exactly; nil where one is
// unknown.
func (d *Decoder) sumOfSeconds(times ...[]byte) []byte {
	var micros int64
	for _, t := range times {
		if !isNumber(t) {
			return nil
		}
		var x decimal
		x.parse(t)
		n, ok := x.whole(6)
		if !ok || n < 0 || micros+n < 0 {
			return nil
		}
		micros += n
	}
	start := len(d.scratch)
	d.scratch = appendInt(d.scratch, micros)
	sum := d.shift(value{raw: d.scratch[start:], kind: kindNumber}, -3)
	return sum.raw
}
