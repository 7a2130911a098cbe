package detector

import "math"

// Series judges a series of closed buckets: a request rate, an error share, a number of
// distinct clients, or any other metric. It takes one record at a time, looks at nothing
// ahead, and has the same parameters whatever the series. The zero value is a series of
// which nothing is known yet. docs/BASELINES.md has the reasons and the figures.
//
// A Series has no pointers and is at most 2 KiB; a copy of it is a series of its own.
// One goroutine at a time may use it.
type Series struct{ state seriesState }

// seriesState is all that a series knows. It is encoded field by field (seriesstate.go),
// so that a change of its shape needs another seriesVersion.
type seriesState struct {
	Records       int64 // judged
	First, Newest int64 // their times, s
	Level         float64
	Value, Log    deviation // the plain and the logarithmic view
	Off, OffLog   deviation // the same of the distance to the hour's usual level
	Mean          float64   // slow; takes the season's place until an hour is ready
	Recent        [seriesRecent]float64
	Day           season[[dayHours]float32, [dayHours]uint8]
	Week          season[[weekHours]float32, [weekHours]uint8]
	Features      [features]extent
	LastNew       int64 // the record that was last outside of all that was seen
	LastLarge     int64 // the record that was last far from usual
}

// The features whose range is remembered.
const (
	featureValue  = iota // the value
	featureRecent        // the mean of the last seriesRecent records
	featureDay           // the distance to what is usual at this hour of the day
	featureWeek          // the distance to what is usual at this hour of the week
	features
)

const seriesRecent = 12 // records

// The parameters, the same for all series. docs/BASELINES.md tells how they were chosen.
const (
	levelRate     = 1.0 / 250  // of the level and of the deviations
	meanRate      = 1.0 / 1000 // of the slow mean
	featureRate   = 1.0 / 3000 // of the features' slow deviations
	dayRate       = 0.2        // of the level of an hour, a day
	weekRate      = 0.3        // of the level of an hour of the week, a week
	levelFloor    = 0.15       // of the level: what is less is never far
	logFloor      = 0.1        // the same in the logarithmic view
	reach         = 10.0       // deviations; what is farther is learned as this far
	warmUp        = 30         // records in which nothing is far
	seasonAfter   = 96         // records before the season takes part
	seasonExplain = 0.5        // of the variance must remain at most, if it takes part

	newAfter      = 250  // records before anything can be outside of all that was seen
	newFar        = 1.25 // deviations that it must also be far from usual
	newExcess     = 0.04 // of the range's width, that it must be beyond, in both views
	newDeviations = 2.0  // slow deviations of the feature
	narrowest     = 1e-9 // of the floor: the width of a range that has none
	newQuiet      = 30   // records without, that must go before
	largeFar      = 2.8  // deviations
	largeQuiet    = 12   // records without either, that must go before
)

// What differs by less is never far, whatever the level.
const (
	countFloor = 1.0
	shareFloor = 0.01  // a percentage point
	sharePrior = 100.0 // requests that are taken to have behaved as usual, beside those of the bucket
)

// Observe judges a record and then learns it. time is when its bucket opened, in s, of
// the clock that people there live by: days and weeks are told by it. A clock set back
// is no harm; what comes again in the same hour does not count for the hour twice. A
// value that is not finite is neither judged nor learned, and missing buckets are left
// out. It takes some 120 ns.
func (s *Series) Observe(time int64, value float64) SeriesFinding {
	return s.state.observe(time, value, 0)
}

// ObserveCount is Observe for a number of things, such as requests or clients in a
// bucket: one more or less than usual is never far, however rare they are.
func (s *Series) ObserveCount(time int64, count float64) SeriesFinding {
	return s.state.observe(time, count, countFloor)
}

// ObserveShare is Observe for a share, 0..1, of so many requests, such as that of
// errors: one error among three requests says little, and a difference of a percentage
// point nothing. A bucket without requests is left out. Whether it matters that a share
// fell (SeriesQuiet) is for the caller to say.
func (s *Series) ObserveShare(time int64, share, requests float64) SeriesFinding {
	if !(requests > 0) {
		return SeriesFinding{}
	}
	usual := share
	if s.state.Records > 0 {
		usual = s.state.Value.Mean
	}
	f := s.state.observe(time, usual+(share-usual)*requests/(requests+sharePrior), shareFloor)
	f.Value = share
	return f
}

// seriesView is one record in all the ways in which it is looked at.
type seriesView struct {
	value, log  float64
	cut         float64           // the value as far as it may be learned
	off, offLog float64           // the distance to the level of the hour
	floor       float64           // what differs by less is never far
	logFloor    float64           // the same in the logarithmic view
	level       float64           // of the hour of the day
	known       [features]bool    // whether the hour's level is known; the slow mean stands in for it
	x           [features]float64 // whose range is remembered
}

func (s *seriesState) observe(time int64, value, leastFloor float64) SeriesFinding {
	if !(math.Abs(value) <= math.MaxFloat32) {
		return SeriesFinding{}
	}
	if s.Records == 0 {
		s.begin(time, value)
	}
	part := max(0, min(1, float64(time-s.Newest)/3600)) // of an hour, that the record stands for
	hour := floorDiv(time, 3600)
	day, week := int(floorMod(hour, dayHours)), int(floorMod(hour, weekHours))
	if s.Records == 0 || hour > floorDiv(s.Newest, 3600) {
		s.Day.enter(day, value)
		s.Week.enter(week, value)
	}
	s.Records++
	s.Newest = max(s.Newest, time)

	v := s.view(value, leastFloor, day, week)
	f := s.judge(&v)
	s.Day.learn(day, v.cut, part, dayRate)
	s.Week.learn(week, v.cut, part, weekRate)
	s.learn(&v)
	return f
}

// begin prepares for the first record.
func (s *seriesState) begin(time int64, value float64) {
	s.First, s.Newest = time, time
	s.Mean, s.Level = value, math.Abs(value)
	s.LastNew, s.LastLarge = -newQuiet, -largeQuiet
}

// view looks at the record in hand.
func (s *seriesState) view(value, leastFloor float64, day, week int) seriesView {
	level, weekLevel := s.Mean, s.Mean
	if s.Day.ready(day) {
		level = s.Day.level(day)
	}
	if s.Week.ready(week) {
		weekLevel = s.Week.level(week)
	}
	v := seriesView{value: value, level: level, floor: max(levelFloor*s.Level, leastFloor, math.SmallestNonzeroFloat32)}
	v.logFloor = max(logFloor, leastFloor/(s.Level+v.floor))
	v.known[featureDay], v.known[featureWeek] = s.Day.ready(day), s.Week.ready(week)
	v.cut = value
	if s.Records > warmUp && s.Level > 0 {
		v.cut = s.Value.cut(value, reach*s.Value.widened(v.floor))
	}
	v.log = logOver(value, v.floor)
	v.off, v.offLog = value-level, v.log-logOver(level, v.floor)

	s.Recent[s.Records%seriesRecent] = value
	sum := 0.0
	for _, x := range &s.Recent { // which holds 0 where there was no record yet
		sum += x
	}
	v.x = [features]float64{
		featureValue:  value,
		featureRecent: sum / float64(min(s.Records, seriesRecent)),
		featureDay:    v.off,
		featureWeek:   value - weekLevel,
	}
	return v
}

// judge says what the record in hand is, by what went before it.
func (s *seriesState) judge(v *seriesView) SeriesFinding {
	n := s.Records
	before := n - 1
	f := SeriesFinding{Value: v.value, Usual: s.Value.Mean}
	if n > warmUp {
		f.Deviation = bothAgree(s.Value.of(v.value, v.floor), s.Log.of(v.log, v.logFloor))
		if v.known[featureDay] && n > seasonAfter && s.Off.Variance < seasonExplain*s.Value.Variance {
			f.Seasonal, f.Usual = true, v.level
			f.Deviation = (f.Deviation + bothAgree(s.Off.of(v.off, v.floor), s.OffLog.of(v.offLog, v.logFloor))) / 2
		}
	}
	f.Samples = min(before, (extentBlocks-1)*extentBlock+before%extentBlock)
	f.Span = float64(s.Newest-s.First) / float64(max(before, 1)) * float64(f.Samples)

	far := math.Abs(f.Deviation)
	if n > newAfter && far >= newFar {
		s.findExcess(v, &f)
	}
	isNew, isLarge := f.excess > newExcess, far >= largeFar
	switch {
	case isNew && n-s.LastNew >= newQuiet:
		f.Kind, f.Score = SeriesNew, 0.5+0.5*f.excess/(1+f.excess)
	case isLarge && n-max(s.LastLarge, s.LastNew) >= largeQuiet:
		f.Kind, f.Score = SeriesLarge, 0.5*(1-largeFar/2/far)
	}
	if isNew {
		s.LastNew = n
	}
	if isLarge {
		s.LastLarge = n
	}
	if f.Kind != SeriesNothing && f.Deviation < 0 {
		f.Kind = SeriesQuiet
	}
	return f
}

// findExcess finds how far the features are beyond their ranges. Those that are
// values, and no differences, must be beyond it in the plain and in the logarithmic view.
func (s *seriesState) findExcess(v *seriesView, f *SeriesFinding) {
	for i, x := range v.x {
		if !s.Features[i].standsOut(x, newDeviations) {
			continue
		}
		low, high := float64(s.Features[i].Least), float64(s.Features[i].Greatest)
		e := beyond(x, low, high, v.floor*narrowest)
		if e > newExcess && i <= featureRecent {
			e = math.Sqrt(e * beyond(logOver(x, v.floor), logOver(low, v.floor), logOver(high, v.floor), narrowest))
		}
		if e > newExcess && f.excess <= newExcess { // the plainest of them explains it
			f.feature, f.observed, f.low, f.high, f.known = i, x, low, high, v.known[i]
		}
		f.excess = max(f.excess, e)
	}
}

// learn takes in the record in hand, but for the levels of its hours.
func (s *seriesState) learn(v *seriesView) {
	slowest := 1 / float64(s.Records)
	rate := max(levelRate, slowest)
	if s.Records == 1 {
		s.Log.Mean, s.Value.Mean = v.log, v.value // whose distance to nothing is not to be cut
	}
	s.Value.learn(v.value, rate, reach*s.Value.widened(v.floor))
	s.Log.learn(v.log, rate, reach*s.Log.widened(v.logFloor))
	s.Off.learn(v.off, rate, reach*s.Off.widened(v.floor))
	s.OffLog.learn(v.offLog, rate, reach*s.OffLog.widened(v.logFloor))
	s.Level += rate * (math.Abs(v.cut) - s.Level)
	s.Mean += max(meanRate, slowest) * (v.cut - s.Mean)

	before := s.Records - 1
	block := int(before / extentBlock % extentBlocks)
	for i := range s.Features {
		e, x := &s.Features[i], v.x[i]
		if s.Records > newAfter {
			x = e.cut(x)
		}
		if before%extentBlock == 0 {
			e.open(block, int(min(before/extentBlock, extentBlocks)))
		}
		e.learn(block, x, max(featureRate, slowest))
	}
}

// logOver is ln(v + floor), continued below 0 as an odd function about ln floor.
func logOver(v, floor float64) float64 {
	if v < 0 {
		return 2*math.Log(floor) - math.Log(floor-v)
	}
	return math.Log(v + floor)
}

func floorDiv(a, b int64) int64 { return (a - floorMod(a, b)) / b }

func floorMod(a, b int64) int64 { return (a%b + b) % b }
