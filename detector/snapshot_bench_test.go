package detector

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// BenchmarkSnapshotEstimate says what snapshots of the state are going to cost, before
// there are any: the arena as it lies in memory is packed with zstd, unpacked, and its
// records are put into tables anew. An op is the whole state once. What a snapshot
// will hold, and in which form, is not decided; this is the right order of magnitude.
//
//   - B/subject: state in memory, tables included, per active address
//   - packed-B/subject, ratio: the same packed
//   - ns/subject: packing; unpacking and inserting
func BenchmarkSnapshotEstimate(b *testing.B) {
	for _, bm := range []struct{ addresses, each int }{{200_000, 2}, {20_000, 20}, {20_000, 180}} {
		e := NewEngine(mustLoad(b, sixRules), Options{Topic: "t", File: true})
		n := bm.addresses * bm.each // in an hour
		events := benchEvents(1<<17, bm.addresses, int64(n/3600))
		span := events[len(events)-1].Time - events[0].Time
		for i := range n {
			ev := &events[i%len(events)]
			e.Observe(ev, Record{Offset: int64(i)})
			e.Take()
			ev.Time += span
		}
		subjects := float64(e.Stats().Subjects)
		var raw []byte
		for _, chunk := range e.arena.chunks {
			for _, word := range chunk {
				raw = binary.LittleEndian.AppendUint64(raw, word)
			}
		}
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		packed := enc.EncodeAll(raw, nil)
		name := fmt.Sprintf("addresses=%d,events=%d", bm.addresses, bm.each)
		b.Run("pack/"+name, func(b *testing.B) {
			out := make([]byte, 0, len(packed)+len(packed)/4)
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				out = enc.EncodeAll(raw, out[:0])
			}
			b.ReportMetric(float64(e.Stats().StateBytes)/subjects, "B/subject")
			b.ReportMetric(float64(len(packed))/subjects, "packed-B/subject")
			b.ReportMetric(float64(len(raw))/float64(len(packed)), "ratio")
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/subjects, "ns/subject")
		})
		b.Run("restore/"+name, func(b *testing.B) {
			out := make([]byte, 0, len(raw))
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if out, err = dec.DecodeAll(packed, out[:0]); err != nil {
					b.Fatal(err)
				}
				tables, home := make([]table, len(e.shards)), newArena()
				for i := range e.shards {
					for _, slot := range e.shards[i].slots {
						if r := ref(uint32(slot)); r != 0 {
							k := record(e.arena.at(r)).key()
							tables[i].insert(home, e.seed.hash(k), r)
						}
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/subjects, "ns/subject")
		})
	}
}
