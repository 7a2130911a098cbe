package schemas

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// benchRecord is a record as gateways of our users write it: 304 bytes, 12 fields.
func benchRecord() []byte {
	return []byte(`{"timestamp":"2026-01-01T00:00:00.500000Z","client_ip":"198.51.100.7","method":"GET","path":"/api/products/12345",` +
		`"status":200,"latency_ms":12.5,"bytes":20480,"user_agent":"Mozilla/5.0 (X11; Linux x86_64)","user_id":"u-1234567",` +
		`"service":"catalog","host":"api.example.com","route":"/api/products/{id}"}`)
}

func BenchmarkDecode(b *testing.B) {
	in := benchRecord()
	d := newDecoder(b, Options{})
	var ev Event
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if err := d.Decode(in, &ev); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeMixed decodes records that differ as those of a gateway do, so that
// what is cheap for one record again and again does not pass for speed.
func BenchmarkDecodeMixed(b *testing.B) {
	records := mixedRecords(1024)
	d := newDecoder(b, Options{})
	var ev Event
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := d.Decode(records[i%len(records)], &ev); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeNeeded is BenchmarkDecodeMixed with the fields that rules for
// addresses and endpoints need.
func BenchmarkDecodeNeeded(b *testing.B) {
	records := mixedRecords(1024)
	d := newDecoder(b, Options{Needs: FieldsNamed("route", "peer_ip", "x_forwarded_for", "blocked")})
	var ev Event
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := d.Decode(records[i%len(records)], &ev); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeMany decodes so many records that the processor's branch predictor
// cannot learn them by heart, as it does those of BenchmarkDecodeMixed.
func BenchmarkDecodeMany(b *testing.B) {
	records := mixedRecords(1 << 16)
	d := newDecoder(b, Options{})
	var ev Event
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := d.Decode(records[i%len(records)], &ev); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodePreset decodes what gateways write whose shape is not ours: a JSON
// object whose members are mapped, and a line of text.
func BenchmarkDecodePreset(b *testing.B) {
	for _, bm := range []struct {
		preset string
		line   func(r *rand.Rand, i int) []byte
	}{{"nginx-json", nginxRecord}, {"combined", combinedLine}} {
		b.Run(bm.preset, func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(1, 2))
			records, size := make([][]byte, 1024), 0
			for i := range records {
				records[i] = bm.line(rnd, i)
				size += len(records[i])
			}
			d := newDecoder(b, Options{Preset: bm.preset})
			var ev Event
			b.ReportAllocs()
			b.SetBytes(int64(size / len(records)))
			for i := 0; b.Loop(); i++ {
				if err := d.Decode(records[i%len(records)], &ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// nginxRecord is the i-th record of an nginx that logs as docs/feeding.md has it.
func nginxRecord(r *rand.Rand, i int) []byte {
	return fmt.Appendf(nil, `{"msec":"17672256%02d.%03d","remote_addr":"%d.%d.%d.%d","request_method":"GET","request_uri":"/api/products/%d?page=%d","status":"%d",`+
		`"request_time":"0.%03d","bytes_sent":"%d","http_user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101","http_host":"api.example.com"}`,
		i*3/1000, i*3%1000, 1+r.IntN(223), r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(1_000_000), r.IntN(1000),
		[]int{200, 200, 404, 500}[r.IntN(4)], r.IntN(1000), r.IntN(100_000), 100+r.IntN(40))
}

// combinedLine is the i-th line of an Apache or nginx with its classic format.
func combinedLine(r *rand.Rand, i int) []byte {
	return fmt.Appendf(nil, `%d.%d.%d.%d - - [01/Jan/2026:00:00:%02d +0000] "GET /api/products/%d?page=%d HTTP/1.1" %d %d "https://shop.example.com/" `+
		`"Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101"`,
		1+r.IntN(223), r.IntN(256), r.IntN(256), r.IntN(256), i*3/1000, r.IntN(1_000_000), r.IntN(1000),
		[]int{200, 200, 404, 500}[r.IntN(4)], r.IntN(100_000), 100+r.IntN(40))
}

// mixedRecords makes n records 3 ms apart; some lack a user or have a query.
func mixedRecords(n int) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	records := make([][]byte, n)
	for i := range records {
		query, user := "", ""
		if r.IntN(4) == 0 {
			query = fmt.Sprintf(`"query":"page=%d",`, r.IntN(1000))
		}
		if r.IntN(3) > 0 {
			user = fmt.Sprintf(`"user_id":"u-%d",`, r.IntN(1_000_000))
		}
		records[i] = fmt.Appendf(nil, `{"timestamp":"2026-01-01T00:%02d:%02d.%03d000Z","client_ip":"%d.%d.%d.%d","method":"%s","path":"/api/products/%d",%s`+
			`"status":%d,"latency_ms":%d.%d,"bytes":%d,"user_agent":"Mozilla/5.0 (X11; %s)",%s"service":"catalog","host":"api.example.com","route":"/api/products/{id}"}`,
			i*3/60_000, i*3/1000%60, i*3%1000, 1+r.IntN(223), r.IntN(256), r.IntN(256), r.IntN(256), []string{"GET", "GET", "POST", "DELETE"}[r.IntN(4)], r.IntN(1_000_000), query,
			[]int{200, 200, 404, 500}[r.IntN(4)], r.IntN(300), r.IntN(10), r.IntN(100_000), strings.Repeat("x86_64 ", r.IntN(10)), user)
	}
	return records
}
