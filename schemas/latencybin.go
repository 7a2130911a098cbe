package schemas

import "math"

// LatencyBins is how many bins latencies are counted in. Bin i holds those from
// 0.05 × 1.2^i to below 0.05 × 1.2^(i+1) ms; the first and the last hold what lies
// beyond them.
const LatencyBins = 96

// Between two doublings of a number there are so many cells, of which the largest spans
// a ratio of 9/8: so a cell has an edge between bins at most once.
const (
	cellBits  = 3
	cellFirst = (1023 - 5) << cellBits // of 2^-5 ms, below the first edge
	cellCount = 27 << cellBits         // up to 2^22 ms, above the last
)

// latencyEdges are the lower edges of the bins, and latencyCells the bin at the beginning
// of each cell. They are made by multiplying alone, which gives the same on every machine.
var latencyEdges, latencyCells = latencyTables()

func latencyTables() (edges [LatencyBins + 1]float64, cells [cellCount]uint8) {
	edges[0] = 0.05
	for i := range LatencyBins {
		edges[i+1] = edges[i] * 1.2
	}
	bin := 0
	for i := range cells {
		for at := math.Float64frombits(uint64(cellFirst+i) << (52 - cellBits)); bin < LatencyBins-1 && at >= edges[bin+1]; {
			bin++
		}
		cells[i] = uint8(bin)
	}
	return edges, cells
}

// LatencyBinOf gives the bin of a latency in ms.
func LatencyBinOf(ms float64) int {
	if !(ms >= latencyEdges[1]) {
		return 0
	}
	cell := min(int(math.Float64bits(ms)>>(52-cellBits))-cellFirst, cellCount-1)
	bin := int(latencyCells[cell])
	if bin < LatencyBins-1 && ms >= latencyEdges[bin+1] {
		bin++
	}
	return bin
}

// LatencyEdge gives the upper edge of a bin, in ms.
func LatencyEdge(bin int) float64 { return latencyEdges[bin+1] }
