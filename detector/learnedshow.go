package detector

import (
	"cmp"
	"slices"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// LearnedEndpoint is what is known of one endpoint, as `apiwarden baseline show` prints it.
type LearnedEndpoint struct {
	Endpoint string   `json:"endpoint"`
	View     string   `json:"view"`             // whose rules look at it, by a hash of what they look at
	Rules    []string `json:"rules"`            // that look at it
	Pooled   bool     `json:"pooled,omitempty"` // it is rare: all but its latency is judged together with other rare ones
	Pool     bool     `json:"pool,omitempty"`   // it stands for all rare ones, of a service or at all
	Ready    bool     `json:"ready"`            // a whole day is known, so it can be judged in full

	Since    schemas.Micros `json:"since"`  // of the first request
	Newest   schemas.Micros `json:"newest"` // of the newest one, to 10 s
	Requests float64        `json:"requests_per_minute"`

	Rate         *LearnedRange   `json:"rate,omitempty"`          // requests a minute
	Clients      *LearnedRange   `json:"clients,omitempty"`       // in five minutes
	Redirects    *LearnedRange   `json:"redirects,omitempty"`     // share of 3xx, 0..1
	ClientErrors *LearnedRange   `json:"client_errors,omitempty"` // share of 4xx
	ServerErrors *LearnedRange   `json:"server_errors,omitempty"` // share of 5xx
	Latency      *LearnedLatency `json:"latency,omitempty"`
	Sizes        []LearnedSize   `json:"sizes,omitempty"`
	Peers        *LearnedPeers   `json:"peers,omitempty"`
	Episodes     []LearnedOpen   `json:"episodes,omitempty"`
}

// LearnedRange is what is usual for a number: now, and the least and the most that is
// remembered.
type LearnedRange struct {
	Usual   float64 `json:"usual"`
	Least   float64 `json:"least"`
	Most    float64 `json:"most"`
	Samples int64   `json:"samples"` // five minutes each
}

// LearnedLatency is how long requests usually take, ms.
type LearnedLatency struct {
	P50     float64 `json:"p50_ms"`
	P95     float64 `json:"p95_ms"`
	P99     float64 `json:"p99_ms"`
	Samples int64   `json:"samples"` // requests
}

// LearnedOpen is an episode that goes on.
type LearnedOpen struct {
	ID    string         `json:"episode_id"`
	Rule  string         `json:"rule_id"`
	Since schemas.Micros `json:"since"`
	Of    string         `json:"of"`
	Usual float64        `json:"usual"` // before
	Now   float64        `json:"now"`
	Peak  float64        `json:"peak"`
	Unit  string         `json:"unit"`
}

// Learned lists what is known, by endpoint, for people to read (`baseline show`).
func (b *Baselines) Learned() []LearnedEndpoint {
	var all []LearnedEndpoint
	for i := range b.shards {
		for _, e := range b.shards[i].endpoints {
			all = append(all, e.learned())
		}
	}
	slices.SortStableFunc(all, func(a, b LearnedEndpoint) int {
		return cmp.Or(strings.Compare(a.Endpoint, b.Endpoint), strings.Compare(a.View, b.View), cmp.Compare(a.Since, b.Since))
	})
	return all
}

func (e *learnedEndpoint) learned() LearnedEndpoint {
	l := LearnedEndpoint{
		Endpoint: e.key, View: e.view.id, Rules: e.view.names(), Pooled: !e.pool && e.watched == 0, Pool: e.pool,
		Since: schemas.Micros(e.first * microseconds), Newest: schemas.Micros(e.newest * microseconds), Requests: e.usual * figureTexts[figureRequests].scale,
		Latency: e.learnedLatency(),
	}
	for m, to := range [...]**LearnedRange{&l.Rate, &l.Clients, &l.Redirects, &l.ClientErrors, &l.ServerErrors} {
		scale := figureTexts[m].scale
		if figure(m).isShare() {
			scale = 1
		}
		if s := e.series[m]; s != nil && s.state.Records > 0 {
			x := &s.state.Features[featureValue]
			*to = &LearnedRange{Usual: s.state.Value.Mean * scale, Least: float64(x.Least) * scale, Most: float64(x.Greatest) * scale, Samples: s.state.Records}
			l.Ready = l.Ready || s.state.Newest-s.state.First >= firstDay
		}
	}
	sizes, ready := e.learnedSizes()
	l.Sizes = sizes
	l.Ready = l.Ready || (l.Latency != nil || ready) && !e.view.series
	for i := range e.episodes {
		p := &e.episodes[i]
		l.Episodes = append(l.Episodes, LearnedOpen{
			ID: p.id(e, "", 0), Rule: p.rule, Since: schemas.Micros(p.seen), Of: figureTexts[p.figure].of,
			Usual: p.usual, Now: p.now, Peak: p.peak, Unit: figureTexts[p.figure].unit,
		})
	}
	if e.crowd != nil {
		l.Peers, l.Ready = e.crowd.learned(e.view.metric), e.crowd.hours >= 24
		l.Episodes = append(l.Episodes, e.crowd.learnedOpen(e)...)
	}
	return l
}

// names are the ids of the rules of a view.
func (v *learnedView) names() []string {
	var ids []string
	for _, rules := range append(v.rules[:], v.outliers) {
		for _, r := range rules {
			if !slices.Contains(ids, r.ID) {
				ids = append(ids, r.ID)
			}
		}
	}
	return ids
}
