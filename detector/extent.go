package detector

import "math"

// extent is the least and the greatest value of one feature over the last
// extentBlocks x extentBlock records, in fixed room: forgetting goes by whole blocks.
// Beside it stands a slow deviation, without which a range that is still narrow, such
// as that of a ramp, would be exceeded all the time.
type extent struct {
	Low, High       [extentBlocks]float32 // of each block
	Least, Greatest float32               // of all blocks
	Slow            deviation
}

const (
	extentBlocks = 16
	extentBlock  = 500 // records

	// extentGrowth is by how much of its width one record may extend the range: a
	// giant outlier must not hide all that follows.
	extentGrowth = 2
)

// open begins a block, in the place of the oldest one; so many others are in use.
func (e *extent) open(block, used int) {
	e.Low[block], e.High[block] = math.MaxFloat32, -math.MaxFloat32
	e.Least, e.Greatest = e.Low[block], e.High[block]
	for i := range used {
		e.Least, e.Greatest = min(e.Least, e.Low[i]), max(e.Greatest, e.High[i])
	}
}

// cut limits x to what one record may teach. A range without width takes all.
func (e *extent) cut(x float64) float64 {
	width := float64(e.Greatest) - float64(e.Least)
	if width <= 0 {
		return x
	}
	return max(float64(e.Least)-extentGrowth*width, min(float64(e.Greatest)+extentGrowth*width, x))
}

// learn takes a value into the block in hand.
func (e *extent) learn(block int, x, rate float64) {
	v := float32(x)
	e.Low[block], e.High[block] = min(e.Low[block], v), max(e.High[block], v)
	e.Least, e.Greatest = min(e.Least, v), max(e.Greatest, v)
	e.Slow.learn(x, rate, math.Inf(1))
}

// standsOut says whether x is at least so many slow deviations from the slow mean.
func (e *extent) standsOut(x, deviations float64) bool {
	d := x - e.Slow.Mean
	return d*d >= deviations*deviations*e.Slow.Variance
}

// beyond says by how much of the width of low to high x lies outside of it, 0 inside.
// least is the narrowest width that counts.
func beyond(x, low, high, least float64) float64 {
	return max(x-high, low-x, 0) / max(high-low, least)
}
