package schemas

import "embed"

// JSONSchemas holds the JSON Schemas (2020-12) of what others read and write:
// json/event.schema.json, json/verdict.schema.json, json/ban.schema.json and
// json/control.schema.json.
//
//go:embed json/*.schema.json
var JSONSchemas embed.FS
