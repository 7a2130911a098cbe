package detector

import (
	"fmt"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// BenchmarkSnapshot says what snapshots cost: an op is the whole state once, in all its
// shards.
//
//   - copy: what stops the partition; longest-ms is its longest stop, that of a shard
//   - changes: the same after one event in a hundred addresses
//   - pack: encoding and zstd, beside the partition; packed-B/subject
//   - restore: unpacking and putting into an engine
func BenchmarkSnapshot(b *testing.B) {
	for _, bm := range []struct{ addresses, each int }{{1_000_000, 2}, {20_000, 180}} {
		program := mustLoad(b, sixRules)
		e := NewEngine(program, Options{Topic: "t", File: true})
		n := bm.addresses * bm.each // in an hour
		events := benchEvents(1<<17, bm.addresses, int64(n/3600))
		span := events[len(events)-1].Time - events[0].Time
		judge := func(i int) {
			ev := &events[i%len(events)]
			ev.ClientIP = client(i % bm.addresses)
			e.Observe(ev, Record{Offset: int64(i)})
			e.Take()
			ev.Time += span
		}
		for i := range n {
			judge(i)
		}
		subjects := float64(e.Stats().Subjects)
		name := fmt.Sprintf("addresses=%d,events=%d", bm.addresses, bm.each)
		copies := make([]ShardCopy, e.Shards())
		copyAll := func(b *testing.B, whole bool) {
			var longest time.Duration
			words := 0
			for b.Loop() {
				words = 0
				for i := range copies {
					began := time.Now()
					e.Copy(i, int64(n), whole, &copies[i])
					longest = max(longest, time.Since(began))
					words += len(copies[i].words)
				}
			}
			b.ReportMetric(longest.Seconds()*1000, "longest-ms")
			b.ReportMetric(float64(8*words)/subjects, "B/subject")
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/subjects, "ns/subject")
		}
		b.Run("copy/"+name, func(b *testing.B) { copyAll(b, true) })
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		for i := range copies {
			e.Copy(i, int64(n), true, &copies[i])
		}
		packed := make([][]byte, len(copies))
		b.Run("pack/"+name, func(b *testing.B) {
			var raw []byte
			total := 0
			for b.Loop() {
				total = 0
				for i := range copies {
					raw = copies[i].Append(raw[:0])
					packed[i] = enc.EncodeAll(raw, packed[i][:0])
					total += len(packed[i])
				}
			}
			b.ReportMetric(float64(total)/subjects, "packed-B/subject")
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/subjects, "ns/subject")
		})
		b.Run("restore/"+name, func(b *testing.B) {
			var raw []byte
			for b.Loop() {
				to := NewEngine(program, Options{Topic: "t", File: true})
				for _, p := range packed {
					if raw, err = dec.DecodeAll(p, raw[:0]); err != nil {
						b.Fatal(err)
					}
					if err := to.Restore(raw, nil); err != nil {
						b.Fatal(err)
					}
				}
				if to.Begin(int64(n)); to.Stats().Subjects != e.Stats().Subjects {
					b.Fatalf("%d subjects of %d", to.Stats().Subjects, e.Stats().Subjects)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/subjects, "ns/subject")
		})
		for i := range bm.addresses / 100 {
			judge(n + i)
		}
		b.Run("changes/"+name, func(b *testing.B) { copyAll(b, false) })
	}
}
