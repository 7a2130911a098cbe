package schemas

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// batchShape is one kind of records and n of them, no two alike, each with something
// that the decoder has to write anew.
type batchShape struct {
	name    string
	options Options
	record  func(i int) string
}

func batchShapes() []batchShape {
	return []batchShape{
		{"our own names", Options{}, func(i int) string {
			return fmt.Sprintf(`{"client_ip":"192.0.2.1","method":"get","path":"\/p%d","status":200,"user_agent":"caf\u00e9 %d","m\u0069ne%d":"\n"}`, i, i, i)
		}},
		{"paths", Options{Fields: map[string]string{"user_id": "who.id", "service": "a|@this"}}, func(i int) string {
			return fmt.Sprintf(`{"client_ip":"192.0.2.1","method":"p%dst","path":"\/p","status":200,"who":{"id":"\t%d"},"a":"\u0061%d"}`, i, i, i)
		}},
		{"seconds that are shifted", Options{Preset: "nginx-json"}, func(i int) string {
			return fmt.Sprintf(`{"remote_addr":"192.0.2.1","request_method":"get","request_uri":"/\u0041%d","status":"200","request_time":"%d.0625"}`, i, i)
		}},
		{"lists of headers", Options{Preset: "caddy"}, func(i int) string {
			return fmt.Sprintf(`{"request":{"remote_ip":"192.0.2.1","method":"put","uri":"/p%d","headers":{"User-Agent":["a\t%d","b"]}},"status":200,"duration":0.%d1}`, i, i, i+1)
		}},
		{"lines", Options{Preset: "combined"}, func(i int) string {
			return fmt.Sprintf(`192.0.2.1 - u%d [17/May/2015:10:05:%02d +0000] "get /p%d HTTP/1.1" 200 %d "-" "a \"b\" %d"`, i, i%60, i, i, i)
		}},
		{"lines with seconds", Options{Preset: "aws-alb"}, func(i int) string {
			return fmt.Sprintf(`http 2026-01-01T00:00:00.186641Z app/lb/50dc 192.0.2.%d:2817 10.0.0.1:80 0.000 0.0%d 0.000 200 200 34 366 "get http://www.example.com:80/p%d HTTP/1.1" "curl/\x2246\x22 %d" - - arn:aws 1 "-" "-" 0 2026-01-01T00:00:00.186641Z "forward" "-" "-" "-" "-" "-" "-"`, i, i, i, i)
		}},
	}
}

// Events of one batch are what each record gives on its own, after all of the batch
// has been decoded; also in the second batch, which uses the space of the first.
func TestDecodeNextKeepsTheBatch(t *testing.T) {
	const n = 50
	for _, shape := range batchShapes() {
		t.Run(shape.name, func(t *testing.T) {
			d := newDecoder(t, shape.options)
			events := make([]Event, n)
			for batch := range 2 {
				d.Begin()
				for i := range events {
					if err := d.DecodeNext([]byte(shape.record(batch+i)), &events[i]); err != nil {
						t.Fatalf("%s: %v", shape.record(batch+i), err)
					}
					_ = d.DecodeNext([]byte(`{"client_ip":"\u0031","method":"bad`), &Event{})
				}
				for i := range events {
					var alone Event
					if err := newDecoder(t, shape.options).Decode([]byte(shape.record(batch+i)), &alone); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(alone, events[i], cmpopts.EquateComparable(alone.ClientIP)); diff != "" {
						t.Fatalf("record %d of batch %d changed (-alone +in the batch):\n%s", i, batch, diff)
					}
				}
			}
		})
	}
}

// A batch takes the space of the one before.
func TestDecodeNextAllocatesNothing(t *testing.T) {
	d := newDecoder(t, Options{})
	events := make([]Event, 16)
	in := []byte(record(`"method":"get","response_body":"{\"a\":\"caf\u00e9\"}","more":[{"a":{}}],"peer_ip":"2001:db8::1"`))
	if n := testing.AllocsPerRun(100, func() {
		d.Begin()
		for i := range events {
			if err := d.DecodeNext(in, &events[i]); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
