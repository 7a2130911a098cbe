package traffic

import (
	"fmt"
	"time"
)

// BadRecord is a record that is no event: cut off, not UTF-8, without an address,
// with an impossible status, a year ahead. Which of them, i says.
func BadRecord(i int, now time.Time) []byte {
	at := now.UTC().Format(time.RFC3339Nano)
	switch i % 6 {
	case 0:
		return []byte(`{"timestamp":"` + at + `","client_ip":"203.0.113.255","method":"GET","path":"/cut`)
	case 1:
		return []byte("{\"client_ip\":\"203.0.113.255\",\"method\":\"GET\",\"path\":\"/\xff\xfe\",\"status\":200}")
	case 2:
		return []byte(`{"timestamp":"` + at + `","client_ip":"localhost","method":"GET","path":"/","status":200}`)
	case 3:
		return []byte(`{"timestamp":"` + at + `","client_ip":"203.0.113.255","method":"GET","path":"/","status":99}`)
	case 4:
		return fmt.Appendf(nil, `{"timestamp":%d,"client_ip":"203.0.113.255","method":"GET","path":"/","status":200}`, now.AddDate(1, 0, 0).Unix())
	default:
		return []byte("\xef\xbb\xbf" + `{"client_ip":"203.0.113.255","method":"GET","path":"/","status":200}`)
	}
}
