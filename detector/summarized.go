package detector

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"

	"github.com/apiwarden/apiwarden/schemas"
)

// measure is what an event says to the summaries that it is added to.
type measure struct {
	class    int // of its status: 0 is 1xx
	bytes    int64
	client   uint32 // a hash
	micros   int64  // its latency, rounded; -1: not known
	bin      uint8  // of the latency
	evidence schemas.LatencyEvidence
}

// What a request can say at most, so that sums of them stay sums.
const (
	mostMicros = 1e11 // 28 hours
	mostBytes  = 1 << 40
)

// measureOf looks at an event. What it makes of it is the same in every partition and
// process, so the hashes are fixed ones. A latency that is negative is not known: so
// some gateways write what they did not measure.
func measureOf(o *observed) measure {
	client := clientSeed.hash(o.address)
	m := measure{class: int(o.Status)/100 - 1, client: uint32(client >> 32), micros: -1}
	if n, ok := schemas.Int(o.ResponseBytes); ok && n > 0 {
		m.bytes = min(n, mostBytes)
	}
	if ms, ok := schemas.Float(o.LatencyMS); ok && ms >= 0 {
		m.micros = int64(float64(min(ms*1000, mostMicros)) + 0.5)
		m.bin = uint8(schemas.LatencyBinOf(ms))
		m.evidence = schemas.LatencyEvidence{Time: o.time, Latency: ms, Hash: evidenceHash(client, o.time, ms, o.Path)}
	}
	return m
}

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

// add adds a request, and says by how many bytes the summary has grown.
func (x *openSummary) add(m *measure) int64 {
	before := x.listBytes()
	x.Requests++
	if uint(m.class) < uint(len(x.Classes)) {
		x.Classes[m.class]++
	}
	x.Bytes += m.bytes
	x.AddClient(m.client)
	if m.micros >= 0 {
		x.LatencyUS += m.micros
		x.AddLatency(m.bin, 1)
		x.AddEvidence(m.evidence)
	}
	return x.listBytes() - before
}

// listBytes is what the lists of a summary take.
func (x *openSummary) listBytes() int64 {
	return int64(cap(x.Latency))*int64(unsafe.Sizeof(schemas.LatencyBin{})) +
		int64(cap(x.Evidence))*int64(unsafe.Sizeof(schemas.LatencyEvidence{})) + 4*int64(cap(x.Clients)) +
		int64(cap(x.peers.Moves))*int64(unsafe.Sizeof(schemas.PeerMove{})) + int64(cap(x.peers.Tops))*(int64(unsafe.Sizeof(schemas.PeerTotal{}))+16)
}
