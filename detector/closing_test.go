package detector

import (
	"math/rand/v2"
	"testing"
)

// TestSilenceOfTheLog: a log that is silent for half of five minutes says little of them;
// one with a request in 80 s by night, and one a few seconds by day, says all that there is.
func TestSilenceOfTheLog(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	drawn := func(requests float64, share float64) period {
		var p period
		for i := range int(share * periodBuckets) {
			if n := poisson(rng, requests); n > 0 {
				p.cover(int64(i), n)
			}
		}
		return p
	}
	s := newLearnedShard(0)
	var nights int
	for i := range 10 * perDay {
		if i%perDay < perDay/2 {
			if s.thin(drawn(1./8, 1)) {
				nights++
			}
		} else if s.thin(drawn(2.5, 1)) {
			t.Errorf("period %d, by day, is taken for silent", i)
		}
	}
	if nights > 5*perDay/10 {
		t.Errorf("%d of %d periods are taken for silent by night", nights, 5*perDay)
	}
	if then := s; !then.thin(period{covered: 2, requests: 2, first: 28, last: 29}) {
		t.Error("a log that begins with two requests at the end of five minutes is not taken for silent before")
	}
	for _, requests := range []float64{2.5, 10, 1000} {
		silent := 0
		for range 100 {
			if then := s; then.thin(drawn(requests, 0.5)) {
				silent++
			}
		}
		if silent < 70 {
			t.Errorf("%d of 100 are taken for silent, in which the log has stopped at %g requests in 10 s", silent, requests)
		}
	}
}
