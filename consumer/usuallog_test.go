package consumer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sixRules are the rules that speed is measured with.
const sixRules = `version: 1
rules:
  - {id: volume, type: usage, threshold: 1000, window: 1h, action: ban}
  - {id: burst, type: usage, threshold: 50, window: 10s, action: ban}
  - {id: not-found, type: return_pattern, pattern: 'status:404', threshold: 20, window: 5m, action: ban}
  - {id: login, type: return_pattern, pattern: 'status:401,403', endpoint: POST /api/login, threshold: 10, window: 5m, action: ban}
  - {id: paths, type: distinct, field: path, threshold: 200, window: 10m, action: alert}
  - {id: errors, type: ratio, pattern: 'status:>=400', min_volume: 50, threshold: 0.6, window: 5m, action: alert}
`

// usualLog makes an hour of records of 304 bytes as gateways write them, each from one
// of a number of clients.
func usualLog(n, clients int) []*kgo.Record {
	rnd := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	records := make([]*kgo.Record, n)
	for i := range records {
		at := start.Add(time.Duration(float64(i) / float64(n) * float64(time.Hour)))
		c := rnd.IntN(clients)
		key := fmt.Sprintf("10.%d.%d.%d", c>>16&255, c>>8&255, c&255)
		method, path, route, status := "GET", fmt.Sprintf("/api/products/%d", rnd.IntN(100_000)), "/api/products/{id}", 200
		switch rnd.IntN(50) {
		case 0, 1:
			status = 404
		case 2:
			method, path, route, status = "POST", "/api/login", "/api/login", []int{200, 401}[rnd.IntN(2)]
		}
		value := fmt.Appendf(nil, `{"timestamp":"%s","client_ip":"%s","method":"%s","path":"%s","status":%d,"latency_ms":%d.%d,"bytes":%d,"user_id":"u-%d",`+
			`"service":"catalog","host":"api.example.com","route":"%s","user_agent":"Mozilla/5.0 (X11; Linux x86_64`,
			at.Format("2006-01-02T15:04:05.000000Z"), key, method, path, status, rnd.IntN(300), rnd.IntN(10), rnd.IntN(100_000), rnd.IntN(1_000_000), route)
		value = append(value, strings.Repeat(" ", 304-len(value)-len(`)"}`))+`)"}`...)
		records[i] = &kgo.Record{Topic: "api-logs", Key: []byte(key), Value: value, Timestamp: at, Offset: int64(i)}
	}
	return records
}

// anHourLater moves a record of usualLog; hour counts from the log's first.
func anHourLater(r *kgo.Record, hour int) {
	const day, hours = len(`{"timestamp":"2026-01-`), len(`{"timestamp":"2026-01-01T`)
	r.Timestamp = r.Timestamp.Add(time.Hour)
	d, h := 1+hour/24, hour%24
	r.Value[day], r.Value[day+1] = '0'+byte(d/10), '0'+byte(d%10)
	r.Value[hours], r.Value[hours+1] = '0'+byte(h/10), '0'+byte(h%10)
}
