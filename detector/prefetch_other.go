//go:build !amd64 && !arm64

package detector

// prefetch does nothing where we have no instruction for it.
func prefetch(*uint64) {}
