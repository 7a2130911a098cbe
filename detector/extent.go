package detector

import "math"

// extent is the least and the greatest value of one feature over the last
// extentBlocks x extentBlock records, in fixed room: forgetting goes by whole blocks.
// Beside it stands a slow deviation, without which a range that is still narrow, such
// as that of a ramp, would be exceeded all the time.
type extent struct {
	Low, High [extentBlocks]float32
	Slow      deviation
}

const (
	extentBlocks = 16
	extentBlock  = 500 // records
)

// open begins a block, in the place of the oldest one.
func (e *extent) open(block int) {
	e.Low[block], e.High[block] = math.MaxFloat32, -math.MaxFloat32
}

// learn takes a value into the block in hand.
func (e *extent) learn(block int, x, rate float64) {
	e.Low[block] = min(e.Low[block], float32(x))
	e.High[block] = max(e.High[block], float32(x))
	e.Slow.learn(x, rate, math.Inf(1))
}

// bounds gives the range over the first so many blocks.
func (e *extent) bounds(blocks int) (low, high float64) {
	l, h := e.Low[0], e.High[0]
	for i := 1; i < blocks; i++ {
		l, h = min(l, e.Low[i]), max(h, e.High[i])
	}
	return float64(l), float64(h)
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
