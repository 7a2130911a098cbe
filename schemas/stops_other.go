//go:build !amd64

package schemas

// mark does nothing where there is no quick way to do it.
func (s *stops) mark() (high bool) { return false }
