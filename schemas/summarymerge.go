package schemas

import (
	"cmp"
	"slices"
)

// Merge adds what another summary says to s, of the same endpoint and bucket; what s is
// of stays. o is not changed and nothing of it is kept. The result does not depend on the
// order in which summaries are merged. Where s has room nothing is allocated.
func (s *Summary) Merge(o *Summary) {
	s.Requests += o.Requests
	for i, n := range o.Classes {
		s.Classes[i] += n
	}
	s.Bytes += o.Bytes
	s.LatencyUS += o.LatencyUS
	for _, b := range o.Latency {
		s.AddLatency(b.Bin, b.Count)
	}
	if o.Sizes != nil {
		if s.Sizes == nil {
			s.Sizes = &Sizes{}
		}
		s.Sizes.Merge(o.Sizes)
	}
	if o.Peers != nil {
		if s.Peers == nil {
			s.Peers = &Peers{}
		}
		s.Peers.Merge(o.Peers)
	}
	for _, e := range o.Evidence {
		s.AddEvidence(e)
	}
	for _, c := range o.Clients {
		if !s.AddClient(c) {
			break // those that follow are larger
		}
	}
}

// AddLatency counts requests in a bin.
func (s *Summary) AddLatency(bin uint8, count int64) { s.Latency = addToBin(s.Latency, bin, count) }

// addToBin counts requests in a bin of a list in the order of the bins.
func addToBin(bins []BinCount, bin uint8, count int64) []BinCount {
	at, end := 0, len(bins)
	for at < end {
		if mid := (at + end) / 2; bins[mid].Bin < bin {
			at = mid + 1
		} else {
			end = mid
		}
	}
	if at < len(bins) && bins[at].Bin == bin {
		bins[at].Count += count
		return bins
	}
	return slices.Insert(bins, at, BinCount{Bin: bin, Count: count})
}

// AddEvidence adds a request to the evidence, unless its second has SummaryEvidence with
// smaller hashes already.
func (s *Summary) AddEvidence(e LatencyEvidence) {
	const micros = 1_000_000
	second := e.Time / micros
	end := len(s.Evidence) // requests mostly come in the order of their times
	for end > 0 && s.Evidence[end-1].Time/micros > second {
		end--
	}
	begin := end
	for begin > 0 && s.Evidence[begin-1].Time/micros == second {
		begin--
	}
	if end-begin >= SummaryEvidence {
		worst := begin
		for i := begin + 1; i < end; i++ {
			if s.Evidence[i].Compare(s.Evidence[worst]) > 0 {
				worst = i
			}
		}
		if e.Compare(s.Evidence[worst]) >= 0 {
			return
		}
		s.Evidence = slices.Delete(s.Evidence, worst, worst+1)
		end--
	}
	at := begin
	for at < end && s.Evidence[at].inOrder(e) < 0 {
		at++
	}
	s.Evidence = slices.Insert(s.Evidence, at, e)
}

// inOrder orders evidence as a summary has it.
func (e LatencyEvidence) inOrder(o LatencyEvidence) int {
	return cmp.Or(cmp.Compare(e.Time, o.Time), e.Compare(o))
}

// Compare orders the evidence of a second: what comes first is kept.
func (e LatencyEvidence) Compare(o LatencyEvidence) int {
	return cmp.Or(cmp.Compare(e.Hash, o.Hash), cmp.Compare(e.Time, o.Time), cmp.Compare(e.Latency, o.Latency))
}

// AddClient adds the hash of a client; see the function AddClient.
func (s *Summary) AddClient(hash uint32) (kept bool) {
	s.Clients, kept = AddClient(s.Clients, hash)
	return kept
}

// AddClient adds the hash of a client to those of a summary, and reports whether it is among
// the SummaryClients smallest; one that is there already is not added again.
func AddClient(clients []uint32, hash uint32) (_ []uint32, kept bool) {
	n := len(clients)
	if n == SummaryClients && hash > clients[n-1] {
		return clients, false
	}
	at, end := 0, n
	for at < end {
		if mid := (at + end) / 2; clients[mid] < hash {
			at = mid + 1
		} else {
			end = mid
		}
	}
	switch {
	case at < n && clients[at] == hash:
		return clients, true
	case n == SummaryClients:
		copy(clients[at+1:], clients[at:n-1])
		clients[at] = hash
		return clients, true
	}
	return slices.Insert(clients, at, hash), true
}
