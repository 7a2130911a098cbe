package detector

import "github.com/apiwarden/apiwarden/schemas"

// judgeLatency judges 10 s of an endpoint's latency.
func (c *closing) judgeLatency(e *learnedEndpoint, s *schemas.Summary) {}

func (e *learnedEndpoint) learnedLatency() *LearnedLatency { return nil }
