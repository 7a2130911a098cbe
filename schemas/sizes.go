package schemas

import (
	"cmp"
	"net/netip"
	"slices"
)

// SizeKind is one of the sizes of a request, in bytes.
type SizeKind uint8

// All kinds.
const (
	SizeRequest  SizeKind = iota // of what was sent: request_bytes
	SizeQuery                    // of the query string
	SizeResponse                 // of the answer: response_bytes
	SizeKinds
)

// String is the name of the kind in summaries and rules.
func (k SizeKind) String() string { return [...]string{"request", "query", "response"}[k] }

// Sizes is how large requests were, by kind. In JSON it is an object; kinds of which
// nothing is known are left out.
type Sizes [SizeKinds]SizeCounts

// SizeCounts is how large requests were: in JSON {"bins":…,"largest":…}.
type SizeCounts struct {
	Bins    []BinCount   // by SizeBinOf, in the order of the bins
	Largest []LargeEvent // the largest requests, at most SizeLargest, in their order
}

// SizeLargest is how many of the largest requests a summary tells apart.
const SizeLargest = 2

// LargeEvent is one request of the largest: in JSON [event time in µs, bytes, client].
type LargeEvent struct {
	Time   int64
	Size   int64
	Client netip.Addr
}

// sizeUnit is the size that falls into the bin of a latency of one ms: so the bins are
// 20 % wide, from 61 bytes to 2 GB.
const sizeUnit = 1024

// SizeBinOf gives the bin of a size.
func SizeBinOf(size int64) int { return LatencyBinOf(float64(size) / sizeUnit) }

// SizeEdge gives the upper edge of a bin, in bytes.
func SizeEdge(bin int) float64 { return sizeUnit * LatencyEdge(bin) }

// Compare orders the largest requests: by size, downwards, then by time and client. It
// is 0 of two only where they are the same to the reader, so it does not matter which is
// kept.
func (e LargeEvent) Compare(o LargeEvent) int {
	return cmp.Or(cmp.Compare(o.Size, e.Size), cmp.Compare(e.Time, o.Time), e.Client.Compare(o.Client))
}

// Add adds a request.
func (c *SizeCounts) Add(e LargeEvent) {
	c.Bins = addToBin(c.Bins, uint8(SizeBinOf(e.Size)), 1)
	c.note(e)
}

// note keeps a request if it is among the largest.
func (c *SizeCounts) note(e LargeEvent) {
	at := len(c.Largest)
	for at > 0 && e.Compare(c.Largest[at-1]) < 0 {
		at--
	}
	switch {
	case at == SizeLargest:
	case len(c.Largest) == SizeLargest:
		copy(c.Largest[at+1:], c.Largest[at:])
		c.Largest[at] = e
	default:
		c.Largest = slices.Insert(c.Largest, at, e)
	}
}

// Merge adds what another summary says of the same endpoint and bucket. Nothing of o is
// kept, and the result does not depend on the order in which summaries are merged.
func (s *Sizes) Merge(o *Sizes) {
	for k := range o {
		for _, b := range o[k].Bins {
			s[k].Bins = addToBin(s[k].Bins, b.Bin, b.Count)
		}
		for _, e := range o[k].Largest {
			s[k].note(e)
		}
	}
}

// Reset empties the sizes and keeps the memory of their lists.
func (s *Sizes) Reset() {
	for k := range s {
		s[k] = SizeCounts{Bins: s[k].Bins[:0], Largest: s[k].Largest[:0]}
	}
}

// MarshalJSON writes an object by kind.
func (s *Sizes) MarshalJSON() ([]byte, error) { return appendSizes(nil, s), nil }

// MarshalJSON writes [µs, bytes, client].
func (e LargeEvent) MarshalJSON() ([]byte, error) { return appendLargeEvent(nil, e), nil }
