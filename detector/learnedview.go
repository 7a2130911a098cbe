package detector

import (
	"slices"
	"strings"

	"github.com/apiwarden/apiwarden/schemas"
)

// learnedView is what stage two knows of a View: which rules judge its endpoints.
type learnedView struct {
	id      string
	grouped bool // keys are METHOD service/template, or with the host
	rules   [figures][]*Rule
	latency [sensitivityCount][]*Rule // those of figureLatency
	sizes   []sizeRules
	series  bool // figures are judged as series

	metric   Metric // of the outliers
	outliers []*Rule
}

func newLearnedView(v *View) learnedView {
	l := learnedView{id: v.ID, metric: v.metric}
	for _, r := range v.Rules {
		l.grouped = len(r.GroupBy) > 1
		for m := range figures {
			if figureTexts[m].by == r.Type && figureTexts[m].metric == r.Metric {
				l.rules[m] = append(l.rules[m], r)
				l.series = l.series || m < figureLatency
			}
		}
		if r.Type == TypeOutlier {
			l.outliers = append(l.outliers, r)
		}
		l.judgesSize(r)
		if r.Type == TypeLatency {
			s := SensitivityOf(r.Sensitivity)
			l.latency[s] = append(l.latency[s], r)
		}
	}
	return l
}

// judges says whether a rule still judges a figure, and decides as it did.
func (v *learnedView) judges(m figure, id, version string) *Rule {
	i := slices.IndexFunc(v.rules[m], func(r *Rule) bool { return r.ID == id && r.Version == version })
	if i < 0 {
		return nil
	}
	return v.rules[m][i]
}

// pool is the key under which the rare endpoints of a service (or host) are judged
// together.
func (v *learnedView) pool(key string) string {
	if v.grouped {
		if _, rest, ok := strings.Cut(key, " "); ok {
			service, _, _ := strings.Cut(rest, "/")
			return poolKey + " " + service
		}
	}
	return poolKey
}

const poolKey = "*"

// figure is something about an endpoint that is judged.
type figure uint8

const (
	figureRequests figure = iota
	figureClients
	figureRedirects
	figureClientErrors
	figureServerErrors
	figureLatency
	figureUnseen // that there is the endpoint at all
	figureRequestSize
	figureQuerySize
	figureResponseSize
	figures
)

// sizeFigure is the figure of a size.
func sizeFigure(k schemas.SizeKind) figure { return figureRequestSize + figure(k) }

// firstShare is the first of the figures that are shares of the requests, by the class
// of their status.
const firstShare = figureRedirects

// seriesFigures are those that are judged as a Series, every five minutes.
const seriesFigures = int(figureLatency)

// figureTexts says what the figures are.
var figureTexts = [figures]struct {
	by     Type
	metric Metric  // of rules of type size
	of     string  // in sentences, in front of "of POST /pay"
	unit   string  // in sentences, after a number; B is written as kB and so on
	many   bool    // of is a plural
	scale  float64 // from what the series holds to what people read
	class  int     // of the status: index into schemas.Summary.Classes
}{
	figureRequests:     {by: TypeRate, of: "requests", unit: "a minute", many: true, scale: 60. / learnedPeriod},
	figureClients:      {by: TypeRate, of: "clients", unit: "in five minutes", many: true, scale: 1},
	figureRedirects:    {by: TypeStatusMix, of: "share of redirects (3xx)", unit: "%", scale: 100, class: 2},
	figureClientErrors: {by: TypeStatusMix, of: "share of client errors (4xx)", unit: "%", scale: 100, class: 3},
	figureServerErrors: {by: TypeStatusMix, of: "share of server errors (5xx)", unit: "%", scale: 100, class: 4},
	figureLatency:      {by: TypeLatency, of: "latency", unit: "ms", scale: 1},
	figureUnseen:       {by: TypeUnseen, of: "first requests", unit: "in five minutes", scale: 1, many: true},
	figureRequestSize:  {by: TypeSize, metric: MetricRequest, of: "largest request", unit: "B", scale: 1},
	figureQuerySize:    {by: TypeSize, metric: MetricQuery, of: "longest query", unit: "B", scale: 1},
	figureResponseSize: {by: TypeSize, metric: MetricResponse, of: "largest answer", unit: "B", scale: 1},
}

// window is how long the buckets are in which the figure is judged, s.
func (m figure) window() int64 {
	if m == figureLatency || m >= figureRequestSize {
		return schemas.SummarySeconds
	}
	return learnedPeriod
}

// isShare says whether the figure is a share of the requests.
func (m figure) isShare() bool { return m >= firstShare && m < figureLatency }
