package detector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"github.com/apiwarden/apiwarden/schemas"
)

// sizeShape draws the size of a request, in bytes, at a time of the day in s.
type sizeShape struct {
	name string
	draw func(rng *rand.Rand, at float64) float64
}

func logNormalSizes(median, sigma float64) func(*rand.Rand, float64) float64 {
	return func(rng *rand.Rand, _ float64) float64 { return median * math.Exp(sigma*rng.NormFloat64()) }
}

// sizeShapes are those of innocent endpoints.
var sizeShapes = []sizeShape{
	{"constant", func(*rand.Rand, float64) float64 { return 3000 }},
	{"normal", func(rng *rand.Rand, _ float64) float64 { return max(0, 4000+800*rng.NormFloat64()) }},
	{"log-normal 1", logNormalSizes(2000, 1)},
	{"log-normal 1.5", logNormalSizes(2000, 1.5)},
	{"one in 50 uploads", func(rng *rand.Rand, _ float64) float64 {
		if rng.IntN(50) == 0 {
			return 2e6 * math.Exp(rng.NormFloat64())
		}
		return 300 * math.Exp(rng.NormFloat64()/3)
	}},
	{"a batch of ten at three", func(rng *rand.Rand, at float64) float64 {
		if at >= 3*3600 && at < 3*3600+10 {
			return 5e6 * math.Exp(rng.NormFloat64()/3)
		}
		return 2000 * math.Exp(rng.NormFloat64()/2)
	}},
	{"Pareto 1.2", func(rng *rand.Rand, _ float64) float64 { return 500 * math.Pow(rng.Float64(), -1/1.2) }},
}

// drawnSizes gives the buckets of an endpoint with so many requests a day, from monday on,
// until use says that it is enough.
func drawnSizes(shape *sizeShape, perDay float64, days int, seed uint64, use func(start int64, c *schemas.SizeCounts)) {
	rng := rand.New(rand.NewPCG(seed, 77))
	var c schemas.SizeCounts
	for i := range int64(days) * 8640 {
		c.Bins, c.Largest = c.Bins[:0], c.Largest[:0]
		at := float64(i % 8640 * schemas.SummarySeconds)
		mean := perDay / 8640 * (1 + 0.8*math.Sin(at*2*math.Pi/86400))
		n := 0
		for left := rng.ExpFloat64(); left < mean; left += rng.ExpFloat64() {
			n++
		}
		if shape.name == "a batch of ten at three" && at == 3*3600 {
			n += 10
		}
		start := monday + i*schemas.SummarySeconds
		for j := range n {
			c.Add(schemas.LargeEvent{Time: start*microseconds + int64(j), Size: int64(shape.draw(rng, at)), Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(j)})})
		}
		if n > 0 {
			use(start, &c)
		}
	}
}

// TestSizesDrawn: innocent endpoints of all shapes for five weeks are seldom reported, and
// what is a hundred times larger than nearly all always is, at once. With
// APIWARDEN_TEST_FULL=1 it prints the table of docs/BASELINES.md.
func TestSizesDrawn(t *testing.T) {
	const days = 35
	seeds, rates := uint64(2), []float64{1500, 30_000}
	if os.Getenv("APIWARDEN_TEST_FULL") != "" {
		seeds, rates = 6, []float64{150, 1500, 15_000, 60_000}
	}
	for i := range sizeShapes {
		shape := &sizeShapes[i]
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			var found [sensitivityCount]int
			missed, tried := 0, 0
			for _, perDay := range rates {
				for seed := range seeds {
					var memories [sensitivityCount]sizeMemory
					drawnSizes(shape, perDay, days, seed, func(start int64, c *schemas.SizeCounts) {
						for s := range memories {
							if _, ok := memories[s].observe(c, start, schemas.SizeRequest, Sensitivity(s)); ok {
								found[s]++
							}
						}
					})
					for s := range memories {
						m := memories[s]
						m.state.Told = 0 // else it may be like one that was told of
						var c schemas.SizeCounts
						c.Add(schemas.LargeEvent{Size: int64(100 * max(m.usual(sizeShare), 1000))})
						tried++
						if _, ok := m.observe(&c, monday+days*86400, schemas.SizeRequest, Sensitivity(s)); !ok && m.samples() >= sizeSamples {
							missed++
						}
					}
				}
			}
			length := float64(days * uint64(len(rates)) * seeds)
			line := fmt.Sprintf("| %s |", shape.name)
			for _, s := range []Sensitivity{SensitivityLow, SensitivityNormal, SensitivityHigh} {
				line += fmt.Sprintf(" %.2g |", float64(found[s])/length*100)
			}
			t.Log(line)
			if missed > 0 {
				t.Errorf("%d of %d that are a hundred times as large are missed", missed, tried)
			}
			if got := found[SensitivityNormal]; shape.name != "Pareto 1.2" && float64(got) > max(1, length/100) {
				t.Errorf("%d are found in %.0f days", got, length)
			}
		})
	}
}
