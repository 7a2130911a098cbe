package sink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// JournalShard is the Shard of a piece that is the journal of its partition.
const JournalShard = -1

// StateSlot names what is written over, on the partition of the state topic that has
// the number of the partition of the input. A piece is written over only by one of
// its own slot: so while it is being written, those of other slots stay whole.
type StateSlot struct {
	Shard int // of the partition's state, or JournalShard
	Slot  int
}

// StatePiece is what is written, and read back, as one: a copy of a shard's state or
// a journal.
type StatePiece struct {
	StateSlot
	ID    uint64   // given by StateWriter.Write; no two are the same
	Base  uint64   // ID of the piece that this one holds the changes to; 0: it stands by itself
	Next  int64    // the first offset of the input that it does not contain
	Entry uint64   // the last entry of the journal that it contains
	Log   [16]byte // Kafka's id of the input topic; zero: not known
	From  int64    // everything that is still needed lies at this offset of the state topic, or after it
	Data  []byte
}

const (
	pieceFormat = 1
	pieceHeader = 1 + 5*8 + 16 + 5*4

	// maxPiece bounds what a piece may unpack to, and maxParts what one may come in.
	maxPiece = 1 << 30
	maxParts = 1 << 14
	// maxRatio is more than zstd packs anything: 128 KiB of one byte into a block of
	// four. A piece that claims more is not believed before memory is taken for it.
	maxRatio = 1 << 15
	// zstdWindow is the largest window that the encoder uses.
	zstdWindow = 8 << 20
)

// pieceKey is the key of a part's record. It tells groups and topics apart that share
// the state topic.
func pieceKey(owner string, s StateSlot, part int) []byte {
	shard := strconv.Itoa(s.Shard)
	if s.Shard == JournalShard {
		shard = "journal"
	}
	return fmt.Appendf(nil, "%s%s/%d/%d", owner, shard, s.Slot, part)
}

// pieceOwner is what the keys of a partition begin with.
func pieceOwner(group, topic string, partition int32) string {
	return fmt.Sprintf("%s/%s/%d/", group, topic, partition)
}

// parsePieceKey reads a key, false where it is not one of owner's.
func parsePieceKey(owner string, key []byte) (s StateSlot, part int, ok bool) {
	rest, ours := strings.CutPrefix(string(key), owner)
	fields := strings.Split(rest, "/")
	if !ours || len(fields) != 3 {
		return StateSlot{}, 0, false
	}
	if fields[0] == "journal" {
		fields[0] = strconv.Itoa(JournalShard)
	}
	var n [3]int
	for i, f := range fields {
		var err error
		if n[i], err = strconv.Atoi(f); err != nil {
			return StateSlot{}, 0, false
		}
	}
	s = StateSlot{Shard: n[0], Slot: n[1]}
	return s, n[2], s.Shard >= JournalShard && s.Slot >= 0 && n[2] >= 0 && n[2] < maxParts
}

// part is the value of one record: the header, which all parts of a piece have in
// common but for their number, and a length of the packed data.
type part struct {
	piece     StatePiece // without Data
	number, n uint32
	packed    uint32 // length of the whole, packed and not
	raw       uint32
	sum       uint32 // of the whole, not packed: CRC-32C
	data      []byte
}

// appendPart encodes a record's value.
func appendPart(dst []byte, p *part) []byte {
	dst = append(dst, pieceFormat)
	for _, v := range []uint64{p.piece.ID, p.piece.Base, uint64(p.piece.Next), p.piece.Entry, uint64(p.piece.From)} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	dst = append(dst, p.piece.Log[:]...)
	for _, v := range []uint32{p.number, p.n, p.packed, p.raw, p.sum} {
		dst = binary.LittleEndian.AppendUint32(dst, v)
	}
	return append(dst, p.data...)
}

// parsePart decodes a record's value. data is of b.
func parsePart(b []byte) (*part, error) {
	if len(b) < pieceHeader {
		return nil, fmt.Errorf("it has %d bytes, less than its header", len(b))
	}
	if b[0] != pieceFormat {
		return nil, fmt.Errorf("it has format %d, this program reads %d", b[0], pieceFormat)
	}
	b = b[1:]
	long := func() uint64 { v := binary.LittleEndian.Uint64(b); b = b[8:]; return v }
	short := func() uint32 { v := binary.LittleEndian.Uint32(b); b = b[4:]; return v }
	p := new(part)
	p.piece.ID, p.piece.Base, p.piece.Next, p.piece.Entry, p.piece.From = long(), long(), int64(long()), long(), int64(long())
	b = b[copy(p.piece.Log[:], b):]
	p.number, p.n, p.packed, p.raw, p.sum = short(), short(), short(), short(), short()
	p.data = b
	switch {
	case p.n == 0 || p.n > maxParts || p.number >= p.n:
		return nil, fmt.Errorf("it is part %d of %d", p.number, p.n)
	case p.raw > maxPiece || p.packed > maxPiece || uint64(p.raw) > uint64(p.packed)*maxRatio:
		return nil, fmt.Errorf("it claims that %d bytes unpack to %d", p.packed, p.raw)
	case p.piece.Next < 0 || p.piece.From < 0:
		return nil, errors.New("it has an offset below 0")
	}
	return p, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// packer turns pieces into the values of records. It is used by one goroutine.
type packer struct {
	zstd   *zstd.Encoder
	packed []byte
}

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
	return &packer{zstd: enc}, err
}

// parts gives the values, each with at most so many bytes of data.
func (p *packer) parts(piece *StatePiece, most int) ([][]byte, error) {
	if len(piece.Data) > maxPiece {
		return nil, fmt.Errorf("it has %d bytes, %d are the most", len(piece.Data), maxPiece)
	}
	p.packed = p.zstd.EncodeAll(piece.Data, p.packed[:0])
	n := max(1, (len(p.packed)+most-1)/most)
	if n > maxParts {
		return nil, fmt.Errorf("it would take %d records of %d bytes, %d are the most", n, most, maxParts)
	}
	h := part{
		piece: *piece, n: uint32(n), packed: uint32(len(p.packed)), raw: uint32(len(piece.Data)),
		sum: crc32.Checksum(piece.Data, castagnoli),
	}
	values := make([][]byte, 0, n)
	for data := range slices.Chunk(p.packed, most) {
		h.number, h.data = uint32(len(values)), data
		values = append(values, appendPart(make([]byte, 0, pieceHeader+len(data)), &h))
	}
	return values, nil
}

// StoredPiece is a piece as it stands on the topic, complete but not unpacked; Data
// is empty.
type StoredPiece struct {
	StatePiece
	First int64 // the smallest offset of its parts
	Parts int
	parts []*part
}

// complete gives the piece whose parts these are, nil where one is missing or of
// another piece.
func complete(s StateSlot, parts map[int]*part, offsets map[int]int64) *StoredPiece {
	first := parts[0]
	if first == nil || len(parts) < int(first.n) {
		return nil
	}
	out := &StoredPiece{StatePiece: first.piece, First: offsets[0], Parts: int(first.n)}
	out.StateSlot = s
	packed := 0
	for i := range int(first.n) {
		p := parts[i]
		if p == nil || p.piece.ID != first.piece.ID || p.n != first.n || p.packed != first.packed || p.sum != first.sum || p.number != uint32(i) {
			return nil
		}
		packed += len(p.data)
		out.parts = append(out.parts, p)
		out.First = min(out.First, offsets[i])
	}
	if packed != int(first.packed) {
		return nil
	}
	return out
}

// Unpack gives the data of the piece, after dst. It is safe to call for several
// pieces at once. The memory that it takes is bounded by what the piece really has.
func (s *StoredPiece) Unpack(dst []byte) ([]byte, error) {
	h := s.parts[0]
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(len(dst))+uint64(max(h.raw, zstdWindow))))
	if err != nil {
		return nil, fmt.Errorf("setting up zstd: %w", err)
	}
	defer dec.Close()
	packed := h.data
	if len(s.parts) > 1 {
		packed = make([]byte, 0, h.packed)
		for _, p := range s.parts {
			packed = append(packed, p.data...)
		}
	}
	before := len(dst)
	dst, err = dec.DecodeAll(packed, slices.Grow(dst, int(h.raw)))
	if err != nil {
		return nil, fmt.Errorf("unpacking: %w", err)
	}
	data := dst[before:]
	if len(data) != int(h.raw) || crc32.Checksum(data, castagnoli) != h.sum {
		return nil, fmt.Errorf("%d bytes unpack to %d with another checksum, or length, than the %d that were written", h.packed, len(data), h.raw)
	}
	return dst, nil
}
