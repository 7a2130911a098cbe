package detector

import "math"

// season is what a series is worth at each hour of a day, or of a week, learned by the
// time that a record stands for and not by the number of records.
type season[Levels ~[dayHours]float32 | ~[weekHours]float32, Visits ~[dayHours]uint8 | ~[weekHours]uint8] struct {
	Levels Levels
	Visits Visits // distinct days (weeks) on which the hour was seen, up to 255
}

const (
	dayHours  = 24
	weekHours = 7 * dayHours

	// seasonReady is how many earlier days or weeks an hour must have been seen on
	// before its level is trusted.
	seasonReady = 3
)

// enter notes that the series has come to an hour, with its first value there.
func (s *season[L, V]) enter(hour int, v float64) {
	if s.Visits[hour] == 0 {
		s.Levels[hour] = float32(v)
	}
	if s.Visits[hour] < math.MaxUint8 {
		s.Visits[hour]++
	}
}

// ready says whether the level of the hour in hand can be trusted.
func (s *season[L, V]) ready(hour int) bool { return s.Visits[hour] > seasonReady }

// level is what the series is usually worth at the hour.
func (s *season[L, V]) level(hour int) float64 { return float64(s.Levels[hour]) }

// learn moves the level of the hour in hand towards v. part is how much of an hour the
// record stands for, slowest the least rate a day (week).
func (s *season[L, V]) learn(hour int, v, part, slowest float64) {
	rate := part * max(slowest, 1/float64(max(s.Visits[hour], 1)))
	s.Levels[hour] += float32(rate * (v - float64(s.Levels[hour])))
}
