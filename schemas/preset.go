package schemas

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// A preset maps the shape of one kind of access log onto Event. It is either a
// list of mappings for records that are JSON objects, or a parser of text lines;
// one file each, preset_NAME.go.
type preset struct {
	name  string
	paths []mapping
	line  func(d *Decoder, line []byte, ev *Event) *BadRecord
}

// mapping says where in a record a field of the event stands. Where a record has
// several of a field's places, the one listed first counts.
type mapping struct {
	path string // names of members from the record down, joined by dots; a record may join them likewise
	to   field
	as   reading

	syntax bool // path is more than names: gjson's own syntax, and its joining by dots
}

// reading is how a value becomes a field's.
type reading uint8

const (
	asIs          reading = iota
	asTime                // RFC 3339 (offset with or without colon), an epoch number, or a common log's time
	asSeconds             // to ms
	asNanoseconds         // to ms
	asHeader              // a text, or a list of texts: one header's lines
	asURL                 // path and query of an absolute URL or of a request target
	asRequestLine         // method and target of "GET /x HTTP/1.1"
	asRouteKey            // method and template of "GET /x/{id}"
	asTemplate            // a route, but not where it is no path
	asList                // a text, but only one with a comma
)

func presets() []preset {
	return []preset{
		{name: "json"},
		{name: "combined", line: parseCombined},
		{name: "nginx-json", paths: nginxPaths()},
		{name: "envoy", paths: envoyPaths()},
		{name: "traefik", paths: traefikPaths()},
		{name: "caddy", paths: caddyPaths()},
		{name: "kong", paths: kongPaths()},
		{name: "aws-alb", line: parseALB},
		{name: "aws-apigw", paths: apiGatewayPaths()},
		{name: "ecs", paths: ecsPaths()},
		{name: "otel", paths: otelPaths()},
	}
}

// Presets gives the names that Options.Preset may have.
func Presets() []string {
	var names []string
	for _, p := range presets() {
		names = append(names, p.name)
	}
	return names
}

// IsText says whether a preset's records are lines of text, not JSON objects.
func IsText(name string) bool {
	return slices.ContainsFunc(presets(), func(p preset) bool { return p.name == name && p.line != nil })
}

// presetNamed finds a preset; the error names the one that is spelled most like it.
func presetNamed(name string) (preset, error) {
	if name == "" {
		name = "json"
	}
	for _, p := range presets() {
		if p.name == name {
			return p, nil
		}
	}
	return preset{}, fmt.Errorf("unknown preset %q%s (one of %s)",
		name, DidYouMean(name, Presets()), strings.Join(Presets(), ", "))
}

// ownMappings are our own names. They end the list of every preset: a gateway whose
// log can be extended may add a user_id, say, under our name.
func ownMappings(timestamp reading) []mapping {
	own := []mapping{{path: "bytes", to: fieldBytes}}
	for _, name := range EventFields() {
		m := mapping{path: name, to: fieldOf([]byte(name))}
		if m.to == fieldTimestamp {
			m.as = timestamp
		}
		own = append(own, m)
	}
	return own
}

// customMappings are those of Options.Fields.
func customMappings(fields map[string]string) ([]mapping, error) {
	var custom []mapping
	for name, path := range fields {
		f := fieldOf([]byte(name))
		if !slices.Contains(EventFields(), name) {
			return nil, fmt.Errorf("fields: an event has no field %q%s", name, DidYouMean(name, EventFields()))
		}
		if path == "" {
			return nil, fmt.Errorf("fields: %s: the path is empty (example: request.remote_ip)", name)
		}
		m := mapping{path: path, to: f, syntax: !plainPath(path)}
		if f == fieldTimestamp {
			m.as = asTime
		}
		custom = append(custom, m)
	}
	sort.Slice(custom, func(i, j int) bool { return custom[i].to < custom[j].to })
	return custom, nil
}
