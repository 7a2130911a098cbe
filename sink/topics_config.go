package sink

import (
	"errors"
	"fmt"
	"strings"
)

// Topics is the section topics of the configuration: the name of each topic.
type Topics struct {
	Logs          string `yaml:"logs" doc:"events, keyed by client address"`
	Verdicts      string `yaml:"verdicts" doc:"every decision, keyed by subject"`
	Bans          string `yaml:"bans" doc:"what is enforced now, keyed scope:value (compacted)"`
	DLQ           string `yaml:"dlq" doc:"records that cannot be used, with the reason in their headers"`
	State         string `yaml:"state" doc:"snapshots of counts (compacted)"`
	Control       string `yaml:"control" doc:"manual bans, unbans and exemptions (compacted)"`
	EndpointStats string `yaml:"endpoint_stats" doc:"summaries of endpoints for learned baselines"`
	Events        string `yaml:"events" doc:"events keyed anew by their subject, where input.rekey is on"`
}

// DefaultTopics are the names of the documentation.
func DefaultTopics() Topics {
	return Topics{
		Logs:          "api-logs",
		Verdicts:      "api-verdicts",
		Bans:          "api-bans",
		DLQ:           "api-logs-dlq",
		State:         "apiwarden-state",
		Control:       "apiwarden-control",
		EndpointStats: "apiwarden-endpoint-stats",
		Events:        "apiwarden-events",
	}
}

// Validate reports every name that Kafka would refuse or that is used twice.
func (t Topics) Validate() error {
	var errs []error
	owner := make(map[string]string)
	for _, n := range []struct{ key, name string }{
		{"logs", t.Logs}, {"verdicts", t.Verdicts}, {"bans", t.Bans}, {"dlq", t.DLQ}, {"state", t.State},
		{"control", t.Control}, {"endpoint_stats", t.EndpointStats}, {"events", t.Events},
	} {
		if !legalTopic(n.name) {
			errs = append(errs, fmt.Errorf("topics.%s is %q: a topic's name has 1 to 249 letters, digits, dots, hyphens or underscores", n.key, n.name))
			continue
		}
		if first, twice := owner[n.name]; twice {
			errs = append(errs, fmt.Errorf("topics.%s and topics.%s are both %q: each needs a topic of its own", first, n.key, n.name))
		}
		owner[n.name] = n.key
	}
	return errors.Join(errs...)
}

func legalTopic(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > 249 {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) < 0
}
