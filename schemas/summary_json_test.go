package schemas

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// drawSummary gives a summary that can be merged.
func drawSummary(t *rapid.T) Summary {
	s := Summary{
		Version: SummaryVersion, View: rapid.StringN(1, 8, -1).Draw(t, "view"), Endpoint: rapid.StringN(1, 40, -1).Draw(t, "endpoint"),
		Pooled: rapid.Bool().Draw(t, "pooled"), Topic: "api-logs", Partition: rapid.Int32Range(0, 100).Draw(t, "partition"),
		Start: SummarySeconds * rapid.Int64Range(0, 1<<30).Draw(t, "start"), Requests: rapid.Int64Range(1, 1<<40).Draw(t, "requests"),
		Bytes: rapid.Int64Range(0, 1<<50).Draw(t, "bytes"), LatencyUS: rapid.Int64Range(0, 1e12).Draw(t, "sum"),
	}
	left := s.Requests
	for i := range s.Classes {
		s.Classes[i] = rapid.Int64Range(0, left).Draw(t, "class")
		left -= s.Classes[i]
	}
	left = s.Requests
	for bin := rapid.IntRange(0, 99).Draw(t, "bin"); bin < LatencyBins && left > 0; bin += rapid.IntRange(1, 40).Draw(t, "gap") {
		n := rapid.Int64Range(1, left).Draw(t, "count")
		s.Latency = append(s.Latency, BinCount{uint8(bin), n})
		left -= n
	}
	for second := range int64(SummarySeconds) {
		for i := range rapid.Int64Range(0, SummaryEvidence).Draw(t, "evidence") {
			s.Evidence = append(s.Evidence, LatencyEvidence{
				Time: (s.Start+second)*1e6 + i, Latency: rapid.Float64Range(0, 1e9).Draw(t, "latency"), Hash: rapid.Uint32().Draw(t, "hash"),
			})
		}
	}
	for c := rapid.Uint64Range(0, 1<<33).Draw(t, "client"); c < 1<<32 && len(s.Clients) < SummaryClients; c += rapid.Uint64Range(1, 1<<31).Draw(t, "next") {
		s.Clients = append(s.Clients, uint32(c))
	}
	if rapid.Bool().Draw(t, "sizes") {
		s.Sizes = &Sizes{}
		for k := range s.Sizes {
			for range rapid.Int64Range(0, min(5, s.Requests)).Draw(t, "sized") {
				s.Sizes[k].Add(drawLargeEvent(t, s.Start))
			}
		}
	}
	if rapid.Bool().Draw(t, "peers") {
		s.Peers = &Peers{}
		for range rapid.IntRange(0, 5).Draw(t, "moves") {
			s.Peers.Move(rapid.IntRange(0, PeerBins-1).Draw(t, "bin"), rapid.Int64Range(-9, 9).Draw(t, "clients"))
		}
		for range rapid.IntRange(0, 5).Draw(t, "tops") {
			s.Peers.Top(PeerTotal{rapid.StringN(1, 20, -1).Draw(t, "peer"), rapid.Float64Range(0, 1e12).Draw(t, "total")})
		}
	}
	return s
}

func drawLargeEvent(t *rapid.T, start int64) LargeEvent {
	return LargeEvent{
		Time: start*1e6 + rapid.Int64Range(0, SummarySeconds*1e6-1).Draw(t, "time"), Size: rapid.Int64Range(0, 1<<40).Draw(t, "size"),
		Client: rapid.SampledFrom([]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")}).Draw(t, "client"),
	}
}

// equalAddresses has addresses compared as a whole.
var equalAddresses = cmpopts.EquateComparable(netip.Addr{})

func TestSummariesComeBack(t *testing.T) {
	var back Summary
	var mark SummaryMark
	rapid.Check(t, func(t *rapid.T) {
		s := drawSummary(t)
		text := AppendSummary(nil, &s)
		if diff := cmp.Diff(string(byReflection(t, s)), string(text)); diff != "" {
			t.Fatalf("(-encoding/json +ours):\n%s", diff)
		}
		if err := DecodeSummary(text, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, back, cmpopts.EquateEmpty(), equalAddresses); diff != "" {
			t.Fatal(diff)
		}
		m := SummaryMark{Version: SummaryVersion, Topic: "a<b", Partition: s.Partition, Partitions: 12, Closed: s.Start + 30}
		for start := m.Closed - 10; start >= 0 && len(m.Traffic) < rapid.IntRange(0, 3).Draw(t, "traffic"); start -= 10 {
			m.Traffic = append(m.Traffic, BucketTraffic{start, rapid.Int64Range(1, 1<<40).Draw(t, "requests")})
		}
		text = AppendSummaryMark(nil, &m)
		if diff := cmp.Diff(string(byReflection(t, m)), string(text)); diff != "" {
			t.Fatalf("(-encoding/json +ours):\n%s", diff)
		}
		if err := DecodeSummaryMark(text, &mark); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, mark, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestSummariesThatAreNone(t *testing.T) {
	good := `{"version":1,"view":"v","endpoint":"GET /","topic":"api-logs","partition":0,"start":100,"requests":5,"classes":[0,5,0,0,0],"bytes":0,` +
		`"latency":[[3,2],[9,1]],"evidence":[[100000001,2.5,7],[101000000,3,8]],"clients":[1,5],"sizes":{"query":{"bins":[[0,3],[14,1]],"largest":[[100000001,700,"::1"],[100000002,9,"192.0.2.1"]]}},"peers":{"moves":[[3,-1],[4,1]],"tops":[["::1",9],["::2",8.5]]}}`
	var s Summary
	if err := DecodeSummary([]byte(good), &s); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"cut": {`]}`, ``}, "no view": {`"v"`, `""`}, "no endpoint": {`"GET /"`, `""`}, "between buckets": {`"start":100`, `"start":101`},
		"no requests": {`"requests":5`, `"requests":0`}, "less than none": {`[0,5,0,0,0]`, `[0,5,-1,0,0]`}, "more answers than requests": {`[0,5,0,0,0]`, `[0,5,1,0,0]`},
		"six classes": {`[0,5,0,0,0]`, `[0,5,0,0,0,0]`}, "half a request": {`[0,5,0,0,0]`, `[0,4.5,0,0,0]`}, "no list": {`[1,5]`, `[1,{"a":5}]`},
		"a bin that is none": {`[9,1]`, `[96,1]`}, "bins backwards": {`[3,2],[9,1]`, `[9,1],[3,2]`}, "half a bin": {`[9,1]`, `[9]`}, "an empty bin": {`[9,1]`, `[9,0]`},
		"evidence of another bucket": {`101000000`, `111000000`}, "evidence backwards": {`101000000`, `100000000`}, "below nothing": {`2.5`, `-2.5`},
		"the same client twice": {`[1,5]`, `[5,5]`}, "too large a hash": {`[1,5]`, `[1,4294967296]`}, "too many clients": {`[1,5]`, ascending(SummaryClients + 1)},
		"moves backwards": {`[3,-1],[4,1]`, `[4,1],[3,-1]`}, "a move of nobody": {`[4,1]`, `[4,0]`}, "a move to no bin": {`[4,1]`, `[128,1]`}, "a peer without a name": {`"::2"`, `""`},
		"peers backwards": {`8.5`, `9.5`}, "a peer below nothing": {`8.5`, `-8.5`}, "a peer without a total": {`["::2",8.5]`, `["::2"]`}, "a total in words": {`8.5`, `"8"`},
		"an empty bin of sizes": {`[14,1]`, `[14,0]`}, "more sizes than requests": {`[0,3]`, `[0,5]`}, "largest backwards": {`700`, `7`}, "a size of another bucket": {`100000002`, `10000002`},
		"a size below nothing": {`9,"192`, `-9,"192`}, "a size of nobody": {`"192.0.2.1"`, `"nobody"`}, "a size of a number": {`"192.0.2.1"`, `7`}, "nothing large": {`[[100000001,700,"::1"],[100000002,9,"192.0.2.1"]]`, `[]`},
		"a larger one than there was": {`700`, `70000`}, "half a size": {`9,"192`, `"192`},
		"a partition below 0": {`"partition":0`, `"partition":-1`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, change[0], change[1], 1)
			if text == good {
				t.Fatal("nothing is changed")
			}
			if err := DecodeSummary([]byte(text), &s); err == nil {
				t.Errorf("it is taken: %s", text)
			}
		})
	}
	if err := DecodeSummary([]byte(`{"version":2,"start":"soon"}`), &s); err != nil || s.Version != 2 {
		t.Errorf("a summary of another version is %v, want only its version", err)
	}
	var m SummaryMark
	for _, text := range []string{
		``, `{"version":1,"partition":0,"partitions":0,"closed":10}`, `{"version":1,"partition":-1,"partitions":1,"closed":10}`,
		`{"version":1,"partition":0,"partitions":1,"closed":11}`, `{"version":1,"partition":0,"partitions":1,"closed":10,"traffic":[{"start":10,"requests":1}]}`,
		`{"version":1,"partition":0,"partitions":9000000,"closed":10}`,
	} {
		if err := DecodeSummaryMark([]byte(text), &m); err == nil {
			t.Errorf("the mark %s is taken", text)
		}
	}
}

func ascending(n int) string {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	text, _ := json.Marshal(list)
	return string(text)
}

func FuzzDecodeSummary(f *testing.F) {
	f.Add(AppendSummary(nil, &Summary{Version: 1, View: "v", Endpoint: "GET /", Requests: 1, Latency: []BinCount{{1, 1}}, Clients: []uint32{1}}))
	f.Add([]byte(`{"version":1,"view":"v","endpoint":"GET /","start":0,"requests":2,"classes":[],"sizes":{"query":{"bins":[[0,2]],"largest":[[1,9,"::1"],[2,9,"::1"]]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, back Summary
		var m SummaryMark
		_ = DecodeSummaryMark(b, &m)
		if DecodeSummary(b, &s) != nil || s.Version != SummaryVersion {
			return
		}
		if err := DecodeSummary(AppendSummary(nil, &s), &back); err != nil {
			t.Fatalf("what was read is not read again: %v", err)
		}
		if diff := cmp.Diff(s, back, cmpopts.EquateEmpty(), equalAddresses); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkSummary(b *testing.B) {
	s := Summary{Version: 1, View: "0123456789ab", Endpoint: "POST ts-order-service/api/v1/order", Topic: "api-logs", Start: 1767225600, Requests: 5000, Classes: [5]int64{0, 4900, 50, 40, 10}, LatencyUS: 12345678}
	for i := range 25 {
		s.Latency = append(s.Latency, BinCount{uint8(20 + i), 200})
	}
	for i := range int64(20) {
		s.Evidence = append(s.Evidence, LatencyEvidence{(s.Start+i/2)*1e6 + i, 12.345, 0xdeadbeef})
	}
	for i := range uint32(SummaryClients) {
		s.Clients = append(s.Clients, i*12345678+1)
		if s.Clients[i] < i*12345677 {
			s.Clients = s.Clients[:i]
			break
		}
	}
	text := AppendSummary(nil, &s)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			text = AppendSummary(text[:0], &s)
		}
		b.ReportMetric(float64(len(text)), "B/summary")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := DecodeSummary(text, &s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
