package main

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"
)

// benchEventBytes is the length of every event of the benchmark: that of a record as
// gateways write it (schemas/decode_bench_test.go).
const benchEventBytes = 304

// eventStream makes the events of a measurement. The same stream gives the same
// events, whichever are asked for.
//
// Clients are chosen uniformly. 5 % of the answers are 404, 1 % 500, and 2 % of the
// events are logins of which half is refused. In a stream with attackers every 64th
// event is of one of the first 64 clients: a quarter of them guesses passwords, a
// quarter looks for what is not there, the others are just too many. They are why a
// measurement has verdicts.
type eventStream struct {
	addresses int
	step      time.Duration // from one event to the next
	untimed   bool          // without a timestamp: the record's counts
	attackers bool
	inOrder   bool // clients one after the other instead of by chance
	endpoints int  // not 0: so many endpoints /e0, /e1, … instead of the shop's
	roam      bool // a client is at any of the endpoints, else at one of them for good
}

const benchAttackers = 64

// streamStart is the time of the first event.
const streamStart = 1_767_225_600_000_000 // 2026-01-01T00:00:00Z, µs

// event is what an eventStream varies.
type event struct {
	client netip.Addr
	login  bool
	path   int
	status int
	place  int // of the stream's endpoints
}

// at gives event i.
func (s eventStream) at(i int) event {
	h := scramble(uint64(i))
	client := int(h>>32) % s.addresses
	if s.inOrder {
		client = i % s.addresses
	}
	ev := event{status: 200, path: 10_000 + int(h>>8&0xffff)}
	if s.endpoints > 0 {
		ev.client, ev.place = benchAddress(client), client%s.endpoints
		if s.roam {
			ev.place = int(h>>8&0xffff) % s.endpoints
		}
		return ev
	}
	if s.attackers && i%benchAttackers == 0 {
		client = int(h>>40) % min(benchAttackers, s.addresses)
		switch client % 4 {
		case 0:
			ev.login, ev.status = true, 401
		case 1:
			ev.status = 404
		}
		ev.client = benchAddress(client)
		return ev
	}
	ev.client = benchAddress(client)
	switch p := h & 0xff; {
	case p < 13:
		ev.status = 404
	case p < 16:
		ev.status = 500
	case p < 18:
		ev.login = true
	case p < 21:
		ev.login, ev.status = true, 401
	}
	return ev
}

// benchAddress is the address of a client, by its number.
func benchAddress(n int) netip.Addr {
	var a [4]byte
	// Spread as addresses of the internet are: neighbours in number are none in the network.
	binary.BigEndian.PutUint32(a[:], 1<<24|uint32(n*0x9e3779b1)&0x7fff_ffff)
	return netip.AddrFrom4(a)
}

// append appends event i as JSON of benchEventBytes bytes.
func (s eventStream) append(dst []byte, i int) []byte {
	return s.encode(dst, i, s.at(i))
}

func (s eventStream) encode(dst []byte, i int, ev event) []byte {
	start := len(dst)
	if s.untimed {
		dst = append(dst, `{"client_ip":"`...)
	} else {
		dst = append(dst, `{"timestamp":"`...)
		dst = time.UnixMicro(streamStart+int64(i)*s.step.Microseconds()).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
		dst = append(dst, `","client_ip":"`...)
	}
	dst = ev.client.AppendTo(dst)
	switch {
	case s.endpoints > 0:
		dst = append(dst, `","method":"GET","path":"/e`...)
		dst = strconv.AppendInt(dst, int64(ev.place), 10)
		dst = append(dst, `","status":`...)
	case ev.login:
		dst = append(dst, `","method":"POST","path":"/login","status":`...)
	default:
		dst = append(dst, `","method":"GET","path":"/api/products/`...)
		dst = appendDigits(dst, ev.path, 5)
		dst = append(dst, `","status":`...)
	}
	dst = appendDigits(dst, ev.status, 3)
	// What differs from request to request does here too: it is what compression is
	// left with.
	h := scramble(uint64(i) ^ 1<<63)
	dst = append(dst, `,"latency_ms":`...)
	dst = append(appendDigits(dst, 10+int(h&63), 2), '.')
	dst = appendDigits(dst, int(h>>8&7), 1)
	dst = append(dst, `,"bytes":`...)
	dst = appendDigits(dst, 10_000+int(h>>16&0xffff), 5)
	dst = append(dst, `,"user_id":"u-`...)
	dst = appendDigits(dst, int(h>>32), 7)
	dst = append(dst, `","service":"catalog","host":"api.example.com","route":"`...)
	switch {
	case s.endpoints > 0:
		dst = strconv.AppendInt(append(dst, `/e`...), int64(ev.place), 10)
	case ev.login:
		dst = append(dst, `/login`...)
	default:
		dst = append(dst, `/api/products/{id}`...)
	}
	dst = append(dst, `","user_agent":"`...)
	agent := benchEventBytes - len(`"}`) - (len(dst) - start)
	return append(append(dst, benchAgent[:agent]...), `"}`...)
}

// benchAgent is as long as any event needs it to be.
const benchAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0 and so on and so forth"

func appendDigits(dst []byte, n, width int) []byte {
	var digits [20]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = '0' + byte(n%10)
		n /= 10
	}
	return append(dst, digits[:width]...)
}

// scramble is the finalizer of splitmix64: a fixed number that looks drawn, for each i.
func scramble(i uint64) uint64 {
	i += 0x9e3779b97f4a7c15
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	return i ^ i>>31
}
