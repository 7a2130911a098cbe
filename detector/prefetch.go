//go:build amd64 || arm64

package detector

// prefetch asks the processor to bring the word at p nearer, and does not wait for
// it. Any pointer is allowed; nothing is read.
//
//go:noescape
func prefetch(p *uint64)
