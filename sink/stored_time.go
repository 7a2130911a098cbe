package sink

import "time"

// DateTime64(6) holds these instants without overflow on the way: years 1900 to
// 2261. An event of another year is stored with the nearest of them.
const (
	firstStored = -2_208_988_800_000_000 // 1900-01-01, µs
	lastStored  = 9_214_646_400_000_000  // 2262-01-01, µs
)

func storedTime(micros int64) time.Time {
	return time.UnixMicro(clampTime(micros)).UTC()
}

func clampTime(micros int64) int64 {
	return min(max(micros, firstStored), lastStored)
}

const dayMicros = 24 * 60 * 60 * 1_000_000

// day numbers the days of UTC, as the events table is partitioned.
func day(micros int64) int {
	micros = clampTime(micros)
	if micros < 0 {
		return int((micros+1)/dayMicros) - 1
	}
	return int(micros / dayMicros)
}

// month numbers the months of UTC, as the verdicts table is partitioned.
func month(micros int64) int {
	t := storedTime(micros)
	return t.Year()*12 + int(t.Month())
}
