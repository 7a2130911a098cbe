package detector

import (
	"errors"
	"fmt"
	"strings"
)

const (
	minStatus = 100
	maxStatus = 599
)

// statusSet is the statuses that a status: pattern accepts, a bit each.
type statusSet [maxStatus/64 + 1]uint64

func (s *statusSet) has(status uint16) bool {
	return status <= maxStatus && s[status/64]>>(status%64)&1 != 0
}

func (s *statusSet) add(from, to int) {
	for status := max(from, minStatus); status <= min(to, maxStatus); status++ {
		s[status/64] |= 1 << (status % 64)
	}
}

// parseStatusSet reads statuses (404), classes (4xx) and comparisons (>=500),
// several separated by commas.
func parseStatusSet(text string) (*statusSet, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("status: the pattern is empty; write a status (404), a list (401,403), a class (4xx) or a comparison (>=500)")
	}
	set := new(statusSet)
	for item := range strings.SplitSeq(text, ",") {
		if err := set.parse(strings.TrimSpace(item)); err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
	}
	if *set == (statusSet{}) {
		return nil, fmt.Errorf("status: no status from %d to %d is %s", minStatus, maxStatus, text)
	}
	return set, nil
}

func (s *statusSet) parse(item string) error {
	if len(item) == 3 && item[0] >= '1' && item[0] <= '5' && strings.EqualFold(item[1:], "xx") {
		class := int(item[0]-'0') * 100
		s.add(class, class+99)
		return nil
	}
	digits := strings.TrimLeft(item, "=!<>")
	op := item[:len(item)-len(digits)]
	status, ok := parseStatus(strings.TrimSpace(digits))
	if !ok {
		return fmt.Errorf("%q is no status (100 to 599), class (4xx) or comparison (>=500)", item)
	}
	switch op {
	case "", "==":
		s.add(status, status)
	case "!=":
		s.add(minStatus, status-1)
		s.add(status+1, maxStatus)
	case ">=":
		s.add(status, maxStatus)
	case ">":
		s.add(status+1, maxStatus)
	case "<=":
		s.add(minStatus, status)
	case "<":
		s.add(minStatus, status-1)
	default:
		return fmt.Errorf("%q: the comparisons are == != > >= < <=", item)
	}
	return nil
}

func parseStatus(s string) (int, bool) {
	if len(s) != 3 || digitsAt(s, 0) != 3 {
		return 0, false
	}
	n := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	return n, n >= minStatus && n <= maxStatus
}
