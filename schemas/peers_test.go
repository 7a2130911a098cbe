package schemas

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPeerBins(t *testing.T) {
	for total, want := range map[float64]int{0: 0, 0.99: 0, 1: 1, 1.19: 1, 1.2: 2, 1.43: 2, 2: 4, 1e300: PeerBins - 1, math.Inf(1): PeerBins - 1} {
		if got := PeerBinOf(total); got != want {
			t.Errorf("%g is in bin %d, not %d", total, got, want)
		}
	}
	for bin := range PeerBins - 1 {
		if PeerBinOf(PeerEdge(bin)) != bin+1 || PeerBinOf(math.Nextafter(PeerEdge(bin), 0)) != bin {
			t.Errorf("the edge of bin %d is %g", bin, PeerEdge(bin))
		}
	}
}

// What is merged does not depend on the order.
func TestMergedPeers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	parts := make([]Peers, 8)
	for i := range parts {
		for range 30 {
			parts[i].Move(rng.IntN(PeerBins), int64(rng.IntN(5))-2)
		}
		for range 20 {
			parts[i].Top(PeerTotal{Client: fmt.Sprint("client ", i, " ", rng.IntN(40)), Total: float64(rng.IntN(10))})
		}
	}
	merged := func() (p Peers) {
		for i := range parts {
			p.Merge(&parts[i])
		}
		return p
	}
	want := merged()
	if len(want.Tops) != PeerTops {
		t.Errorf("%d clients are named", len(want.Tops))
	}
	for range 20 {
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		if d := cmp.Diff(want, merged()); d != "" {
			t.Fatalf("in another order:\n%s", d)
		}
	}
}
