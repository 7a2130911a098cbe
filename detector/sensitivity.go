package detector

// Sensitivity says how far from what was learned is too far. The zero value is normal.
type Sensitivity uint8

// The sensitivities that a learned rule can have.
const (
	SensitivityNormal Sensitivity = iota
	SensitivityLow
	SensitivityHigh
)

// SensitivityOf reads the word in a rule; any but low and high is normal.
func SensitivityOf(word string) Sensitivity {
	switch word {
	case "low":
		return SensitivityLow
	case "high":
		return SensitivityHigh
	}
	return SensitivityNormal
}
