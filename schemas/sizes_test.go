package schemas

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestSizeBins(t *testing.T) {
	for _, c := range []struct {
		size int64
		bin  int
	}{{0, 0}, {61, 0}, {62, 1}, {1023, 16}, {1 << 20, 54}, {1 << 40, LatencyBins - 1}} {
		if got := SizeBinOf(c.size); got != c.bin {
			t.Errorf("%d bytes lie in bin %d, want %d", c.size, got, c.bin)
		}
	}
	for bin := range LatencyBins - 1 {
		if edge := int64(SizeEdge(bin)); SizeBinOf(edge) > bin || SizeBinOf(edge+1) != bin+1 {
			t.Errorf("around the edge above bin %d, %d bytes, lie bins %d and %d", bin, edge, SizeBinOf(edge), SizeBinOf(edge+1))
		}
	}
}

// BenchmarkSizes adds requests to a bucket that has as many bins as sizes have.
func BenchmarkSizes(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var sizes [256]int64
	for i := range sizes {
		sizes[i] = 200 + rng.Int64N(5000)
	}
	var c SizeCounts
	client := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		c.Add(LargeEvent{Time: i, Size: sizes[i%256], Client: client})
	}
}
