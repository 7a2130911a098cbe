package detector

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/apiwarden/apiwarden/schemas"
)

// measure is what an event says to the summaries that it is added to.
type measure struct {
	after  uint32  // the beginning of the bucket, µs
	client uint32  // a hash
	hash   uint32  // of what the event says, where its latency is known
	class  uint8   // of its status: 0 is 1xx
	timed  bool    // its latency is known
	ms     float64 // its latency
	bytes  int64   // of the response; 0: not known
}

// What a request can say at most, so that sums of them stay sums.
const (
	mostMicros = 1e11 // 28 hours
	mostBytes  = 1 << 40
)

// measureOf looks at an event in a bucket that begins at from. What it makes of it is the
// same in every partition and process, so the hashes are fixed ones. A latency that is
// negative is not known: so some gateways write what they did not measure.
func measureOf(o *observed, from int64) measure {
	client := clientSeed.hash(o.address)
	m := measure{after: uint32(o.time - from), client: uint32(client >> 32), class: uint8(o.Status/100 - 1)}
	if n, ok := schemas.Int(o.ResponseBytes); ok && n > 0 {
		m.bytes = min(n, mostBytes)
	}
	if ms, ok := schemas.Float(o.LatencyMS); ok && ms >= 0 {
		m.timed, m.ms, m.hash = true, ms, evidenceHash(client, o.time, ms, o.Path)
	}
	return m
}

// sizeOf gives a size of an event, in bytes; false where it is not known. What an event does
// not have a query of has one of 0 bytes.
func sizeOf(ev *schemas.Event, k schemas.SizeKind) (int64, bool) {
	text := ev.RequestBytes
	switch k {
	case schemas.SizeQuery:
		return int64(len(ev.Query)), true
	case schemas.SizeResponse:
		text = ev.ResponseBytes
	}
	n, ok := schemas.Int(text)
	return min(n, mostBytes), ok && n >= 0
}

// micros is the latency in whole µs, rounded.
func (m *measure) micros() int64 { return int64(float64(min(m.ms*1000, mostMicros)) + 0.5) }

// clientSeed is the seed of the hashes of clients, and of evidence.
var clientSeed = seed{0x8bb84b93962eacc9, 0x4b33a62ed433d4a3}

// evidenceHash is a hash of what a request says: the fold of clientSeed over its words.
// Of a path it takes the first 256 bytes.
func evidenceHash(client uint64, time int64, ms float64, path []byte) uint32 {
	h := fold(client, uint64(time))
	h = fold(h, math.Float64bits(ms))
	h = fold(h, uint64(len(path)))
	path = path[:min(len(path), 256)]
	for ; len(path) >= 8; path = path[8:] {
		h = fold(h, binary.LittleEndian.Uint64(path))
	}
	if len(path) > 0 {
		var rest [8]byte
		copy(rest[:], path)
		h = fold(h, binary.LittleEndian.Uint64(rest[:]))
	}
	return uint32(h >> 32)
}

// fold mixes a word into a hash (wyhash's multiply-and-fold).
func fold(h, word uint64) uint64 {
	hi, lo := bits.Mul64(h^clientSeed[0], word^clientSeed[1])
	return hi ^ lo
}
