package detector

import "github.com/apiwarden/apiwarden/schemas"

// sizeMemory learns how large the requests of one endpoint are, by one kind of size, and
// finds those that are larger than nearly all before by far. Its state has a fixed size.
//
// What is usual is a histogram that forgets slowly. What is far beyond it is learned as
// what is just beyond it: so a giant does not hide what follows, and yet a lasting change is
// learned within as many buckets as it is steps away. Each is one step farther.
type sizeMemory struct{ state sizeState }

// sizeState is what a sizeMemory is encoded as. Sizes are in bytes.
type sizeState struct {
	Usual   latencyHistogram // of sizes: their bins are those of latencies
	Largest float64          // the largest, as it was learned
	First   int64            // the first bucket, s
	Day     int64            // since the epoch, to which it has faded
	Least   int64            // the smallest and the largest size that were told of lately
	Most    int64
	Told    int64 // when there was last one of those, s
}

// What it takes to be told of. docs/BASELINES.md says how these were chosen.
const (
	sizeShare    = 0.9999             // of requests: what nearly all are
	sizeFades    = 0.9516951530106196 // of a count remains after a day: half after 14
	sizeSamples  = 500.               // requests without which nothing is judged
	sizeFrom     = firstDay           // s before anything is
	sizeKnown    = 7 * 24 * 3600      // s for which a size that was told of is known
	sizeAlike    = 2                  // times larger or smaller it is the same
	mostFadeDays = 1000               // what is left after that is nothing
)

// sizeFactors are how many times larger than nearly all a request must be.
var sizeFactors = [...]float64{SensitivityLow: 20, SensitivityNormal: 8, SensitivityHigh: 4}

// sizeFloors are the sizes that no request is too large below, by kind.
var sizeFloors = [schemas.SizeKinds]float64{schemas.SizeRequest: 4 << 10, schemas.SizeQuery: 512, schemas.SizeResponse: 256 << 10}

// sizeLimit is what is too large where nearly all are as large as usual.
func sizeLimit(usual float64, k schemas.SizeKind, s Sensitivity) float64 {
	return max(sizeFactors[s]*usual, sizeFloors[k])
}

// sizeFinding is that a bucket has a request that is too large, or several.
type sizeFinding struct {
	large   []schemas.LargeEvent // those of the largest that are, never none; valid until the bucket changes
	usual   float64              // that nearly all are at most
	half    float64              // that half are at most
	limit   float64
	samples int64 // behind this; those long ago count less
}

// observe judges a bucket that begins at start, and learns it. The bucket is not kept.
// False: there is nothing to tell.
func (m *sizeMemory) observe(c *schemas.SizeCounts, start int64, k schemas.SizeKind, s Sensitivity) (f sizeFinding, found bool) {
	st := &m.state
	if st.First == 0 {
		st.First = start
	}
	m.fade(start / 86400)
	if !m.ready(start) {
		m.learn(c, c.Largest[0].Size)
		return f, false
	}
	f.usual = m.usual(sizeShare)
	f.limit = sizeLimit(f.usual, k, s)
	if size := c.Largest[0].Size; float64(size) > f.limit && m.tell(size, start) {
		f.half, f.samples, found = m.usual(0.5), m.samples(), true
		f.large = c.Largest
		for float64(f.large[len(f.large)-1].Size) <= f.limit {
			f.large = f.large[:len(f.large)-1]
		}
	}
	m.learn(c, int64(f.limit))
	return f, found
}

// tell notes that there is a size beyond the limit, and says whether it is worth telling:
// not if one like it was told of lately, as that of a job that is new and runs each day.
func (m *sizeMemory) tell(size, start int64) bool {
	st := &m.state
	known := st.Told > 0 && start-st.Told < sizeKnown
	st.Told = start
	switch {
	case !known:
		st.Least, st.Most = size, size
	case size < st.Least/sizeAlike || size > sizeAlike*st.Most:
		st.Least, st.Most = min(size, st.Least), max(size, st.Most)
	default:
		return false
	}
	return true
}

// learn counts the requests of a bucket. Those that are larger than most count as that.
func (m *sizeMemory) learn(c *schemas.SizeCounts, most int64) {
	st := &m.state
	last := uint8(schemas.SizeBinOf(most))
	for _, b := range c.Bins {
		st.Usual.Counts[min(b.Bin, last)] += float32(b.Count)
		st.Usual.Total += float64(b.Count)
	}
	st.Largest = max(st.Largest, float64(min(c.Largest[0].Size, most)))
}

// fade has what was learned count less, for each day since it did.
func (m *sizeMemory) fade(day int64) {
	st := &m.state
	if st.Day == 0 {
		st.Day = day
	}
	for range min(day-st.Day, mostFadeDays) {
		st.Usual.scale(sizeFades)
	}
	st.Day = max(st.Day, day)
}

// usual gives the size that a share of requests are at most, to the width of a bin; 0 where
// nothing is known.
func (m *sizeMemory) usual(share float64) float64 {
	st := &m.state
	bin := st.Usual.bin(share)
	if bin == schemas.LatencyBins-1 { // it has no upper edge
		return st.Largest
	}
	return min(schemas.SizeEdge(bin), st.Largest)
}

// samples is how many requests are behind what is known.
func (m *sizeMemory) samples() int64 { return int64(m.state.Usual.Total + 0.5) }

// ready says whether requests can be judged.
func (m *sizeMemory) ready(now int64) bool {
	return m.state.Usual.Total >= sizeSamples && now-m.state.First >= sizeFrom
}
