package main

import (
	"fmt"
	"strings"
	"time"
)

// Rules of the measurements. Their action is alert: a ban would keep later events
// of its client from being counted, and what is not counted costs little.
const (
	benchOneRule = `version: 1
defaults: {action: alert}
rules:
  - {id: rate, type: usage, threshold: 30, window: 300s}
`
	benchSixRules = `version: 1
defaults: {action: alert}
rules:
  - {id: volume, type: usage, threshold: 1000, window: 1h}
  - {id: burst, type: usage, threshold: 50, window: 10s}
  - {id: not-found, type: return_pattern, pattern: 'status:404', threshold: 20, window: 5m}
  - {id: login, type: return_pattern, pattern: 'status:401,403', endpoint: POST /login, threshold: 10, window: 5m}
  - {id: paths, type: distinct, field: path, threshold: 200, window: 10m}
  - {id: errors, type: ratio, pattern: 'status:>=400', min_volume: 50, threshold: 0.6, window: 5m}
`
	// benchProbe fires on every event that is answered with benchProbeStatus.
	benchProbe = `  - {id: probe, type: match, pattern: 'status:418', emit: every, action: log}
`
	benchProbeStatus = 418
)

// endpointRules are n rules that count the events of one endpoint each: GET /e0, …
func endpointRules(n int) string {
	var text strings.Builder
	text.WriteString("version: 1\ndefaults: {action: alert}\nrules:\n")
	for i := range n {
		fmt.Fprintf(&text, "  - {id: rule-%d, type: usage, endpoint: GET /e%d, threshold: 1000, window: 300s}\n", i, i)
	}
	return text.String()
}

// windowRule is one rule with that window.
func windowRule(window time.Duration) string {
	return fmt.Sprintf("version: 1\ndefaults: {action: alert}\nrules:\n  - {id: volume, type: usage, threshold: 1000, window: %s}\n", window)
}
