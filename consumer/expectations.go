package consumer

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/apiwarden/apiwarden/schemas"
)

// expectations are the verdicts that the log gives, by id. A verdict takes some 150
// bytes: its text, without detected_at, is packed together with others, and only looked
// at again where it is not the one that was found. The methods may be called side by
// side while verdicts are added, and by one goroutine afterwards.
type expectations struct {
	mu     sync.Mutex
	seed   maphash.Seed
	index  map[verdictKey]int32
	all    []expected
	blocks [][]byte // packed
	open   []byte   // the last one, which is not full
	packed []byte   // scratch
	packer *zstd.Encoder
	reader *zstd.Decoder

	at       int32  // the block that was unpacked last; -1: none
	unpacked []byte // its texts
}

// verdictKey is a verdict's id.
type verdictKey [16]byte

// expected is what is known of a verdict without unpacking it.
type expected struct {
	sum         uint64
	time        schemas.Micros // of the trigger's record
	block       int32
	place, size int32
	kept        int32 // partition of the verdict topic
	flags       expectedFlags
}

type expectedFlags uint8

const (
	notKnown     expectedFlags = 1 << iota // what precedes it is not in the log any more
	notReached                             // detect has not committed its trigger
	onTopic                                // it was found on the verdict topic
	stored                                 // store has committed it
	inClickHouse                           // it was found there
)

func (f expectedFlags) has(x expectedFlags) bool { return f&x != 0 }

// blockBytes is how many bytes of texts are packed together.
const blockBytes = 64 << 10

func newExpectations() (*expectations, error) {
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return nil, fmt.Errorf("setting up zstd: %w", err)
	}
	reader, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("setting up zstd: %w", err)
	}
	return &expectations{seed: maphash.MakeSeed(), index: make(map[verdictKey]int32), packer: packer, reader: reader, at: -1}, nil
}

// canonical gives the text by which verdicts are compared: everything but when they
// were detected.
func canonical(dst []byte, v *schemas.Verdict) []byte {
	timeless := *v
	timeless.DetectedAt = 0
	return schemas.AppendVerdict(dst, &timeless)
}

// keyOf gives the key of an id; false: it is none that detect gives.
func keyOf(id string) (k verdictKey, ok bool) {
	if len(id) != hex.EncodedLen(len(k)) {
		return k, false
	}
	_, err := hex.Decode(k[:], []byte(id))
	return k, err == nil
}

// add takes a verdict.
func (x *expectations) add(v *schemas.Verdict, kept int32, flags expectedFlags) error {
	k, ok := keyOf(v.VerdictID)
	if !ok {
		return fmt.Errorf("the verdict id %q is not of 32 hex digits", v.VerdictID)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, twice := x.index[k]; twice {
		return fmt.Errorf("the log gives two verdicts with the id %s", v.VerdictID)
	}
	place := len(x.open)
	x.open = canonical(x.open, v)
	text := x.open[place:]
	e := expected{
		sum: maphash.Bytes(x.seed, text), block: int32(len(x.blocks)), place: int32(place), size: int32(len(text)),
		kept: kept, flags: flags,
	}
	if v.RecordTime != nil {
		e.time = *v.RecordTime
	}
	x.index[k] = int32(len(x.all))
	x.all = append(x.all, e)
	if len(x.open) >= blockBytes {
		x.packed = x.packer.EncodeAll(x.open, x.packed[:0])
		x.blocks = append(x.blocks, bytes.Clone(x.packed)) // without room for more
		x.open = x.open[:0]
	}
	return nil
}

// find gives the verdict of an id; nil: the log gives none.
func (x *expectations) find(id string) *expected {
	k, ok := keyOf(id)
	if !ok {
		return nil
	}
	i, ok := x.index[k]
	if !ok {
		return nil
	}
	return &x.all[i]
}

// same says whether text, which canonical made, is that of e.
func (x *expectations) same(e *expected, text []byte) bool {
	return maphash.Bytes(x.seed, text) == e.sum
}

// text unpacks the text of a verdict. It is valid until the next call.
func (x *expectations) text(e *expected) ([]byte, error) {
	if int(e.block) == len(x.blocks) {
		return x.open[e.place:][:e.size], nil
	}
	if x.at != e.block {
		var err error
		if x.unpacked, err = x.reader.DecodeAll(x.blocks[e.block], x.unpacked[:0]); err != nil {
			return nil, fmt.Errorf("unpacking an expected verdict: %w", err)
		}
		x.at = e.block
	}
	return x.unpacked[e.place:][:e.size], nil
}

// verdict unpacks a verdict.
func (x *expectations) verdict(e *expected) (*schemas.Verdict, error) {
	text, err := x.text(e)
	if err != nil {
		return nil, err
	}
	v := new(schemas.Verdict)
	return v, schemas.DecodeVerdict(text, v)
}
