package detector

import (
	"bytes"
	"encoding/json"
	"slices"
)

// object is a JSON object of the schema.
type object = map[string]any

// RulesSchema gives the JSON Schema (2020-12) of a rules file, for editors. It
// tells what a file looks like; what a pattern, a condition or a range means is for
// ReadRules to judge. schemas/rules.schema.json is its text.
func RulesSchema() []byte {
	ready := slices.Concat(judgedTypes, learnedTypes)
	properties := object{}
	for i := range ruleKeys {
		if k := &ruleKeys[i]; slices.ContainsFunc(ready, k.usedBy) {
			properties[k.name] = k.schema()
		}
	}
	properties["type"] = object{"description": keyOf("type").doc, "enum": names(ready)}
	var perType []object
	for _, t := range ready {
		perType = append(perType, object{
			"if":   object{"properties": object{"type": object{"const": t}}, "required": []string{"type"}},
			"then": typeSchema(t),
		})
	}
	schema := topSchema(topKeys)
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "apiwarden rules"
	schema["description"] = "A rules file of apiwarden, or one file of a folder of them."
	schema["$defs"] = object{
		"rule": object{
			"type": "object", "required": []string{"id", "type"},
			"properties": properties, "additionalProperties": false, "allOf": perType,
		},
		"duration": object{
			"description": "A duration such as 90s, 1m30s, 24h or 7d, or a number of seconds.",
			"anyOf":       []object{{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": durationPattern}},
		},
		"durationOrZero": object{
			"description": "A duration such as 90s, 1m30s, 24h or 7d, or a number of seconds; 0 for none.",
			"anyOf":       []object{{"type": "number", "minimum": 0}, {"type": "string", "pattern": durationPattern}},
		},
		"range": object{"description": "An address or a CIDR range.", "type": "string", "pattern": `^\s*[0-9A-Fa-f:.]+(/[0-9]{1,3})?\s*$`},
		"endpoint": object{
			"description": "METHOD template, such as GET /users/{id}.",
			"type":        "string", "pattern": `^\s*(\*|[A-Z][A-Z0-9_-]*)\s+/[^?#\s]*\s*$`,
		},
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(schema); err != nil {
		panic("encoding the schema of rules: " + err.Error()) // only of texts and numbers
	}
	return b.Bytes()
}

const durationPattern = `^\s*\+?((([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d))+|[0-9]+(\.[0-9]*)?|\.[0-9]+)\s*$`

func refTo(name string) object { return object{"$ref": "#/$defs/" + name} }

// schema describes the value of a rule's key.
func (k *ruleKey) schema() object {
	s := object{}
	switch {
	case k.name == "exempt":
		s = object{"type": "array", "items": refTo("range")}
	case k.name == "endpoint":
		s = object{"anyOf": []object{refTo("endpoint"), {"type": "array", "items": refTo("endpoint"), "minItems": 1}}}
	case k.name == "group_by":
		fields := append([]string{"subject"}, groupFields...)
		s = object{"type": "array", "items": object{"enum": fields}, "uniqueItems": true, "minItems": 1}
	case k.values != nil:
		s = object{"enum": k.values}
	case k.shape == shapeText:
		s = object{"type": "string"}
	case k.shape == shapeTexts:
		s = object{"type": "array", "items": object{"type": "string"}}
	case k.shape == shapeCount:
		s = object{"type": "integer", "minimum": 1}
	case k.shape == shapeDecimal:
		s = object{"type": "number", "exclusiveMinimum": 0}
	case k.shape == shapeDuration:
		s = refTo("duration")
	case k.shape == shapeFlag:
		s = object{"type": "boolean"}
	}
	switch k.name {
	case "max_step":
		s["maximum"] = longestStep
	case "id":
		s["pattern"] = "^[a-z0-9-]+$"
	case "when", "pattern", "field", "key":
		s["minLength"] = 1
	}
	s["description"] = k.doc
	if k.def != "" {
		s["description"] = k.doc + " Default: " + k.def + "."
	}
	return s
}

// typeSchema says what a type asks of a rule.
func typeSchema(t Type) object {
	s := object{"propertyNames": object{"enum": keyNames(t)}}
	var needed []string
	for i := range ruleKeys {
		if ruleKeys[i].neededBy(t) {
			needed = append(needed, ruleKeys[i].name)
		}
	}
	s["required"] = needed
	switch {
	case t == TypeRatio:
		s["properties"] = object{"threshold": object{"exclusiveMinimum": 0, "exclusiveMaximum": 1}}
	case t == TypeMatch:
		s["anyOf"] = []object{{"required": []string{"when"}}, {"required": []string{"pattern"}}}
	case t == TypeFrequency:
		s["oneOf"] = []object{{"required": []string{"max_frequency"}}, {"required": []string{"threshold"}}}
		s["properties"] = object{"threshold": object{"type": "integer"}}
	case slices.Contains(countingTypes, t):
		s["properties"] = object{"threshold": object{"type": "integer", "minimum": 1}}
	case slices.Contains(learnedTypes, t):
		s["properties"] = object{
			"action":   object{"enum": []string{"alert", "log"}},
			"group_by": object{"items": object{"enum": []string{"endpoint", "service", "host"}}, "contains": object{"const": "endpoint"}, "maxItems": 2},
		}
		if of := metricNames(t); of != nil {
			s["properties"].(object)["metric"] = object{"enum": of}
		}
		return s
	}
	if s["properties"] == nil {
		s["properties"] = object{}
	}
	s["properties"].(object)["group_by"] = object{"contains": object{"const": "subject"}}
	return s
}

// topSchema describes the file itself or one of its mappings.
func topSchema(keys []topKey) object {
	properties := object{}
	for _, k := range keys {
		s := topValue(k)
		s["description"] = k.doc
		if k.def != "" {
			s["description"] = k.doc + " Default: " + k.def + "."
		}
		properties[k.name] = s
	}
	return object{"type": "object", "properties": properties, "additionalProperties": false}
}

func topValue(k topKey) object {
	switch k.name {
	case "version":
		return object{"const": 1}
	case "rules":
		return object{"type": []string{"array", "null"}, "items": refTo("rule")}
	case "exempt", "trusted_proxies":
		return object{"type": []string{"array", "null"}, "items": refTo("range")}
	case "endpoints":
		return object{"type": []string{"array", "null"}, "items": refTo("endpoint")}
	case "mode", "window_edge", "emit", "action":
		return object{"enum": keyOf(k.name).values}
	case "late":
		return object{"enum": []string{"drop", "dead_letter"}}
	case "lateness", "max_skew":
		return refTo("durationOrZero")
	case "ban_for", "throttle_for", "window", "max", "decay":
		return refTo("duration")
	case "factor":
		return object{"type": "number", "minimum": 1}
	case "ipv4_prefix":
		return object{"type": "integer", "minimum": 1, "maximum": 32}
	case "ipv6_prefix":
		return object{"type": "integer", "minimum": 1, "maximum": 128}
	case "body_limit":
		return object{"type": []string{"string", "integer"}, "minimum": 1}
	}
	s := topSchema(k.keys)
	s["type"] = []string{"object", "null"}
	return s
}
