package schemas

const (
	microsPerSecond = 1_000_000
	microsPerDay    = 86_400 * microsPerSecond

	// endOfTime is 2200-01-01: an event's time lies from 1970 up to it.
	endOfTime = 84_006 * microsPerDay
)

// parseEpoch reads a number since 1970 in seconds, ms, µs or ns, told apart by
// its magnitude, exactly; what is finer than a µs is cut. b must be a number of
// JSON's grammar.
func parseEpoch(b []byte) (int64, bool) {
	var d decimal
	d.parse(b)
	if d.neg && d.n > 0 {
		return 0, false
	}
	shift := -3
	switch {
	case d.point <= 11:
		shift = 6
	case d.point <= 14:
		shift = 3
	case d.point <= 17:
		shift = 0
	}
	t, ok := d.whole(shift)
	return t, ok && t < endOfTime
}

// parseRFC3339 reads an instant as in RFC 3339, section 5.6, a blank allowed in
// place of T; what is finer than a µs is cut.
func parseRFC3339(b []byte) (int64, bool) {
	t, zone, ok := parseLocal(b)
	offset, ok2 := parseOffset(zone, true)
	t -= offset
	return t, ok && ok2 && 0 <= t && t < endOfTime
}

// parseISO8601 reads what RFC 3339 leaves out: an offset without a colon.
func parseISO8601(b []byte) (int64, bool) {
	t, zone, ok := parseLocal(b)
	offset, ok2 := parseOffset(zone, false)
	t -= offset
	return t, ok && ok2 && 0 <= t && t < endOfTime
}

// parseLocal reads 2006-01-02T15:04:05.999 up to its zone, as µs since 1970 there.
func parseLocal(b []byte) (t int64, zone []byte, ok bool) {
	if len(b) < len("2006-01-02T15:04:05Z") || b[4] != '-' || b[7] != '-' ||
		(b[10] != 'T' && b[10] != 't' && b[10] != ' ') {
		return 0, nil, false
	}
	century, ok0 := twoDigits(b[0], b[1])
	year, ok1 := twoDigits(b[2], b[3])
	month, ok2 := twoDigits(b[5], b[6])
	day, ok3 := twoDigits(b[8], b[9])
	clock, ok4 := parseClock(b[11:19])
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 {
		return 0, nil, false
	}
	days, ok := daysSince1970(century*100+year, month, day)
	if !ok {
		return 0, nil, false
	}
	t = int64(days)*microsPerDay + clock*microsPerSecond
	fraction, zone, ok := parseFraction(b[19:])
	return t + fraction, zone, ok
}

// parseFraction reads .999, which need not be there, as µs.
func parseFraction(b []byte) (t int64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '.' {
		return 0, b, true
	}
	i := 1
	scale := int64(microsPerSecond / 10)
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		t += int64(b[i]-'0') * scale
		scale /= 10
	}
	return t, b[i:], i > 1
}

// parseCommonLog reads the time of Apache's and nginx's logs,
// 17/May/2015:10:05:03 +0000.
func parseCommonLog(b []byte) (int64, bool) {
	if len(b) != len("02/Jan/2006:15:04:05 -0700") || b[2] != '/' || b[6] != '/' || b[11] != ':' || b[20] != ' ' {
		return 0, false
	}
	day, ok0 := twoDigits(b[0], b[1])
	century, ok1 := twoDigits(b[7], b[8])
	year, ok2 := twoDigits(b[9], b[10])
	clock, ok3 := parseClock(b[12:20])
	offset, ok4 := parseOffset(b[21:], false)
	days, ok5 := daysSince1970(century*100+year, monthNumber(b[3:6]), day)
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return 0, false
	}
	t := int64(days)*microsPerDay + clock*microsPerSecond - offset
	return t, 0 <= t && t < endOfTime
}

// monthNumber gives 1 for Jan, 0 for what is no month.
func monthNumber(b []byte) int {
	switch string(b) {
	case "Jan":
		return 1
	case "Feb":
		return 2
	case "Mar":
		return 3
	case "Apr":
		return 4
	case "May":
		return 5
	case "Jun":
		return 6
	case "Jul":
		return 7
	case "Aug":
		return 8
	case "Sep":
		return 9
	case "Oct":
		return 10
	case "Nov":
		return 11
	case "Dec":
		return 12
	}
	return 0
}

// parseClock reads 15:04:05 and gives seconds since midnight. There is no second 60.
func parseClock(b []byte) (int64, bool) {
	_ = b[7]
	hour, ok0 := twoDigits(b[0], b[1])
	minute, ok1 := twoDigits(b[3], b[4])
	second, ok2 := twoDigits(b[6], b[7])
	return int64(hour*3600 + minute*60 + second),
		ok0 && ok1 && ok2 && hour < 24 && minute < 60 && second < 60 && b[2] == ':' && b[5] == ':'
}

// parseOffset reads Z, +01:00 or, without a colon, +0100, and gives µs.
func parseOffset(b []byte, colon bool) (int64, bool) {
	if colon && len(b) == 1 {
		return 0, b[0] == 'Z' || b[0] == 'z'
	}
	want := len("+0100")
	if colon {
		want++
	}
	if len(b) != want || colon && b[3] != ':' || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	hours, ok0 := twoDigits(b[1], b[2])
	minutes, ok1 := twoDigits(b[want-2], b[want-1])
	if !ok0 || !ok1 || hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := int64(hours*3600+minutes*60) * microsPerSecond
	if b[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// twoDigits reads a number of two digits.
func twoDigits(tens, ones byte) (int, bool) {
	tens -= '0'
	ones -= '0'
	return int(tens)*10 + int(ones), tens <= 9 && ones <= 9
}

// daysSince1970 counts days of the Gregorian calendar (H. Hinnant, "chrono-Compatible
// Low-Level Date Algorithms", days_from_civil); false where there is no such day.
func daysSince1970(year, month, day int) (int, bool) {
	if month < 1 || month > 12 || day < 1 || day > daysOf(year, month) {
		return 0, false
	}
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719_468, true
}

// daysOf gives how many days a month has.
func daysOf(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}
