package detector

// tolerance is what a sensitivity stands for where figures are judged as series: how many
// widths of all that was seen something must be beyond it.
type tolerance struct {
	plain  float64 // to open an episode at once
	slight float64 // if it goes on for another five minutes
	burst  int64   // periods after which a single client's doing is believed
	large  bool    // what was seen before does too, if it is far from usual
}

var tolerances = [...]tolerance{
	SensitivityLow:    {plain: 1, slight: 0.5, burst: 6},
	SensitivityNormal: {plain: 0.5, slight: newExcess, burst: 4},
	SensitivityHigh:   {plain: newExcess, slight: newExcess, burst: 2, large: true},
}

// plainly is more widths than any sensitivity asks for.
const plainly = 2.

// slightPeriods is after how many periods what is slight is believed.
const slightPeriods = 2

// opens says whether a departure is worth an episode.
func (t *tolerance) opens(d doubt, burst bool) bool {
	switch {
	case burst:
		return d.strength > t.slight && d.periods >= t.burst
	case d.strength > t.plain:
		return true
	}
	return d.strength > t.slight && d.periods >= slightPeriods
}
