package detector

import "slices"

// sensitivity is what the word in a learned rule stands for, of series: how many widths of
// all that was seen something must be beyond it.
type sensitivity struct {
	word   string
	plain  float64 // to open an episode at once
	slight float64 // if it goes on for another five minutes
	burst  int64   // periods after which a single client's doing is believed
	large  bool    // what was seen before does too, if it is far from usual
}

var sensitivities = [...]sensitivity{
	{word: "low", plain: 1, slight: 0.5, burst: 6},
	{word: "normal", plain: 0.5, slight: newExcess, burst: 4},
	{word: "high", plain: newExcess, slight: newExcess, burst: 2, large: true},
}

// slightPeriods is after how many periods what is slight is believed.
const slightPeriods = 2

// opens says whether a departure is worth an episode.
func (s *sensitivity) opens(d doubt, burst bool) bool {
	switch {
	case burst:
		return d.strength > s.slight && d.periods >= s.burst
	case d.strength > s.plain:
		return true
	}
	return d.strength > s.slight && d.periods >= slightPeriods
}

func sensitivityOf(r *Rule) int {
	return slices.IndexFunc(sensitivities[:], func(s sensitivity) bool { return s.word == r.Sensitivity })
}
