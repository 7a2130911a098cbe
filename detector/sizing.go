package detector

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/apiwarden/apiwarden/schemas"
)

// appendSizes appends an encoding of the sizes of a bucket that begins at start.
func appendSizes(dst []byte, s *schemas.Sizes, start int64) []byte {
	for k := range s {
		dst = append(dst, byte(len(s[k].Bins)))
		for _, b := range s[k].Bins {
			dst = binary.AppendUvarint(append(dst, b.Bin), uint64(b.Count))
		}
		dst = append(dst, byte(len(s[k].Largest)))
		for _, e := range s[k].Largest {
			dst = binary.AppendUvarint(dst, uint64(e.Time-start*second))
			dst = binary.AppendUvarint(dst, uint64(e.Size))
			address := e.Client.AsSlice()
			dst = append(append(dst, byte(len(address))), address...)
		}
	}
	return dst
}

// sizes reads what appendSizes wrote.
func (r *summaryReader) sizes(s *schemas.Sizes, start int64) {
	for k := range s {
		c := &s[k]
		for range r.small(schemas.LatencyBins) {
			b := schemas.BinCount{Bin: r.small(schemas.LatencyBins - 1), Count: r.number(1 << 53)}
			if n := len(c.Bins); r.err == nil && (b.Count == 0 || n > 0 && b.Bin <= c.Bins[n-1].Bin) {
				r.err = errors.New("bins of sizes are out of order")
			}
			c.Bins = append(c.Bins, b)
		}
		for range r.small(schemas.SizeLargest) {
			e := schemas.LargeEvent{Time: start*second + r.number(bucketMicros-1), Size: r.number(mostBytes)}
			var ok bool
			e.Client, ok = netip.AddrFromSlice(r.cut(int64(r.small(16))))
			if n := len(c.Largest); r.err == nil && (!ok || n > 0 && e.Compare(c.Largest[n-1]) < 0) {
				r.err = errors.New("the largest requests are out of order, or of nobody")
			}
			c.Largest = append(c.Largest, e)
		}
	}
}
