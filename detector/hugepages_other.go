//go:build !linux

package detector

// adviseHuge does nothing where there is nobody to ask.
func adviseHuge([]uint64) {}
