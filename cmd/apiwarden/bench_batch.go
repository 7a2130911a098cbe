package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recordBatch is a batch of records as it goes over the wire (version 2 of Kafka's
// format), compressed beforehand. To send it again with another time costs a few
// bytes and a checksum.
//
// Source: https://kafka.apache.org/documentation/#recordbatch
type recordBatch struct {
	wire    []byte
	records int
}

// Places in a batch.
const (
	batchLength    = 8  // of what follows it, int32
	batchMagic     = 16 // int8
	batchChecksum  = 17 // uint32, of all from batchAttrs on
	batchAttrs     = 21 // int16
	batchLastDelta = 23 // int32
	batchFirstTime = 27 // int64, ms
	batchMaxTime   = 35 // int64, ms
	batchProducer  = 43 // int64 id, int16 epoch, int32 sequence
	batchRecords   = 57 // int32
	batchHeader    = 61
	attrsLz4       = 3
)

// encodeBatch makes a batch of keys and values, compressed with lz4. Its records have
// the time of the batch.
func encodeBatch(lz4 kgo.Compressor, keys, values [][]byte) (recordBatch, error) {
	var plain, one []byte
	for i := range values {
		one = append(one[:0], 0) // attributes
		one = kbin.AppendVarlong(one, 0)
		one = kbin.AppendVarint(one, int32(i))
		one = kbin.AppendVarintBytes(one, keys[i])
		one = kbin.AppendVarintBytes(one, values[i])
		one = kbin.AppendVarint(one, 0) // headers
		plain = append(kbin.AppendVarint(plain, int32(len(one))), one...)
	}
	var buf bytes.Buffer
	packed, codec := lz4.Compress(&buf, plain)
	if codec != kgo.CodecLz4 {
		return recordBatch{}, fmt.Errorf("compressing a batch: got codec %d", codec)
	}
	wire := append(make([]byte, batchHeader, batchHeader+len(packed)), packed...)
	put := binary.BigEndian
	put.PutUint32(wire[batchLength:], uint32(len(wire)-batchLength-4))
	put.PutUint32(wire[batchLength+4:], ^uint32(0)) // leader epoch: the broker's to fill in
	wire[batchMagic] = 2
	put.PutUint16(wire[batchAttrs:], attrsLz4)
	put.PutUint32(wire[batchLastDelta:], uint32(len(values)-1))
	for i := batchProducer; i < batchRecords; i++ {
		wire[i] = 0xff // no producer id: not idempotent
	}
	put.PutUint32(wire[batchRecords:], uint32(len(values)))
	return recordBatch{wire: wire, records: len(values)}, nil
}

// at gives the batch's bytes with the time t, for one request.
func (r recordBatch) at(t time.Time) []byte {
	wire := bytes.Clone(r.wire)
	binary.BigEndian.PutUint64(wire[batchFirstTime:], uint64(t.UnixMilli()))
	binary.BigEndian.PutUint64(wire[batchMaxTime:], uint64(t.UnixMilli()))
	binary.BigEndian.PutUint32(wire[batchChecksum:], crc32.Checksum(wire[batchAttrs:], crc32.MakeTable(crc32.Castagnoli)))
	return wire
}
