package detector

import (
	"fmt"
	"slices"
	"strings"
)

// typeDoc is the entry of a type on the reference page.
type typeDoc struct {
	kind    Type
	counts  string
	example string // one rule, as it stands under rules:
}

var typeDocs = []typeDoc{
	{TypeUsage, "Counts the events it sees. Fires on event number threshold + 1 within a window.", `
- id: report-exports
  type: usage
  endpoint: POST /reports/{id}/export
  threshold: 10
  window: 1h
  action: throttle
  throttle_for: 10m`},
	{TypeFrequency, "As usage, with the threshold given as events per second: threshold = floor(max_frequency × window in seconds + 1e-9), which must be 1 or more.", `
- id: too-fast
  type: frequency
  max_frequency: 0.1
  window: 5m
  action: ban
  ban_for: 30m`},
	{TypeReturnPattern, "Counts events whose response matches the pattern. Events without what the pattern looks at are not seen.", `
- id: lottery-wins
  type: return_pattern
  endpoint: POST /api/lottery
  pattern: 'json:result.outcome==victory'
  threshold: 2
  window: 24h
  action: ban
  message: Too many wins.`},
	{TypeDistinct, "Counts the different values of a field within a window. Events without the field are not seen.", `
- id: scanning
  type: distinct
  field: path
  when: 'status == 404'
  threshold: 20
  window: 5m
  action: ban`},
	{TypeRatio, "Looks at the share of matching events among those seen, once min_volume of them lie in the window, and fires when it is above threshold, a number between 0 and 1.", `
- id: credential-stuffing
  type: ratio
  endpoint: [POST /login, POST /token]
  pattern: 'status:401,403'
  min_volume: 20
  threshold: 0.8
  window: 10m
  action: ban
  ban_for: 24h`},
	{TypeMatch, "Fires on an event that fulfils when and pattern (one of them is needed), unless it already fired for the subject within the window; with emit: every, on each.", `
- id: secret-files
  type: match
  when: 'path in ["/.env", "/.git/config"]'
  action: alert`},
	{TypeWalk, "Counts steps from id to id: how somebody goes through what is not theirs. The id of an event is the last part of its path that is a whole number of up to 19 digits, or the value of `field` where that is one; events without are not seen. An event is a step if the client has not shown its id and it lies at most `max_step` from one that it has shown: so counting up or down is, in whatever order within `max_step` and by several workers at once, while asking for the same ids again and picking here and there are not. Paging is, if the page is the last number of the path: leave such endpoints out. Fires on step number threshold + 1 within a window.\n\nIds are remembered for each client and endpoint (and what else `group_by` names), until the client has shown none for as long as the window; those beyond `max_endpoints` are remembered together. Of the five stretches of 64 ids (0 to 63, 64 to 127 and so on) that were shown last it is known which ids of them were, of others nothing. Whether a late event is a step is decided when it arrives, by those that arrived before; as a step it counts at its own time, wherever that lies.", `
- id: order-walk
  type: walk
  endpoint: GET /orders/{id}
  max_step: 4
  threshold: 60
  window: 10m
  action: ban`},
	{TypeLatency, "Tells when an endpoint becomes slow, by what is usual for it. Judged every 10 s by single requests, so also where there are few. " + learnedWords, `
- id: slow-checkout
  type: latency
  endpoint: POST /checkout
  sensitivity: normal
  action: alert`},
	{TypeStatusMix, "Tells when the share of redirects (3xx), client errors (4xx) or server errors (5xx) among an endpoint's answers becomes higher than it ever was. Judged every five minutes, after a day. Where client errors come on top of as many other answers as ever, only if that goes on for 20 minutes: until then it may be a single client. " + learnedWords, `
- id: odd-answers
  type: status_mix
  sensitivity: low`},
	{TypeRate, "Tells when an endpoint is asked far more often, or by far more clients, than it ever was at such an hour, or far less often. Judged every five minutes, after a day; what differs from weekday to weekday is known after a week. More requests of as many clients as ever only count if that goes on for 20 minutes: until then it may be a single one, which is for other rules. " + learnedWords, `
- id: odd-volume
  type: rate
  endpoint: GET /search
  group_by: [service, endpoint]
  remind: 1h`},
	{TypeUnseen, "Tells when an endpoint, a method on a path, is served for the first time: after eight days of learning in which it was never answered 2xx or 3xx, 10 requests in five minutes are, and half of all at least (50 with sensitivity: low; with high a single one will do, after three days). It is known after an hour. Most of what it tells of is a release. " + learnedWords, `
- id: first-use
  type: unseen
  endpoint: '* /api/**'
  action: log`},
	{TypeSize, "Tells when a request of an endpoint is far larger than nearly all before: than 8 times what 99.99 % of them are at most (20 times with sensitivity: low, 4 with high), and than 4 KiB (metric: request, the request_bytes), 512 bytes (query, the length of the query string) or 256 KiB (response, the response_bytes). Judged every 10 s, after a day (25 hours) and 500 requests. The verdict names the client. A size that was told of is not told of again until for a week there was none like it. " + learnedWords, `
- id: odd-sizes
  type: size
  metric: query
  sensitivity: low
  action: alert`},
	{TypeOutlier, "Compares each client with all others of the same endpoint: what it has done in this hour with what they have, and with what clients did in the hours before. A client is reported that has many times what 99 % of the others have (20 times with sensitivity: low, 10 with normal, 5 with high; twice that when one hour is known), is beyond what the spread of the population makes likely, and has 50 requests, 20 errors, 30 different paths or 60 s of latency at least, among 20 others at least. In the first hour of an endpoint nobody is reported; who has much then is known, and is reported for twice as much. The client is the subject. An episode ends once the client was like the others for an hour; it is reported again only for twice as much, or after a week of being like them.", `
- id: unlike-the-others
  type: outlier
  metric: distinct_paths
  sensitivity: high
  action: alert`},
}

// learnedWords is what all types that judge endpoints have in common.
const learnedWords = "The subject is the endpoint, METHOD template. There is a verdict when an episode opens, one every `remind` while it lasts, and one when it closes, with the same `episode_id`; " +
	"what lasts is taken for usual after a while. docs/BASELINES.md has more."

const rulesIntroduction = `# Rules

A rules file is YAML. ` + "`--rules`" + ` takes one file, or a folder: then its ` + "`*.yaml`" + ` are read in name order, without
` + "`*.test.yaml`" + `; lists join, a scalar must not be given twice, ids are unique over all files. A file with anything wrong
is refused as a whole, every problem with its line. ` + "`schemas/rules.schema.json`" + ` gives editors completion.

Durations are Go's (` + "`90s`, `1m30s`, `24h`" + `) with days (` + "`7d`" + `), or a bare number of seconds.

What the shipped rules find, what they do not, and where to add your own: [MISUSE.md](../MISUSE.md).

`

const patternReference = `## Patterns

| pattern | matches |
|---|---|
| ` + "`win`" + ` | a response body that contains the text, without regard to case |
| ` + "`regex:(success\\|winner)`" + ` | a body in which RE2 finds it, without regard to case |
| ` + "`json:user.level>50`" + ` | a body, or response_fields, where the value at the path stands in the relation |
| ` + "`status:404`, `status:401,403`, `status:4xx`, `status:>=500`" + ` | the status |

Text and regex read the response_body, and response_fields as compact JSON where there is no body; ` + "`json:`" + ` reads
response_fields as they stand, and the body where there are none. They read no further than body_limit; a body that is
longer is cut, and JSON that is cut or broken does not match. An event with neither is not seen by the rule.

JSON paths are names with dots between them, ` + "`[]`" + ` behind a name (or alone) for any element of an array:
` + "`items[].type`, `[].id`" + `. Operators are ` + "`== != > >= < <=`" + `; the first one in the pattern is it, quotes around the value are
left out. ` + "`==`" + ` compares texts without regard to case, numbers and texts that are numbers by value (1 = 1.0 = "1"), true
and false by name; null and none are null. ` + "`!=`" + ` holds for every value that is there and not equal, objects and arrays too.
The orderings need two numbers. A path that leads nowhere holds for no operator. Of duplicate names the last counts.

## Conditions

` + "`when`" + ` is an [expr-lang](https://expr-lang.org) expression on the event's fields; fields that the schema does not know
can be used too, ` + "`$env[\"odd-name\"]`" + ` reads one whose name is no identifier. Every comparison with a missing field, or with
a part of one, is false; ` + "`not`" + ` negates that; ` + "`field != nil`" + ` holds where a field is there. Functions that read the clock are not there.

## Endpoints

` + "`METHOD template`" + `. ` + "`*`" + ` stands for any method or any one part of the path, a trailing ` + "`**`" + ` for the rest of it, ` + "`{id}`" + ` for a
parameter: of a route whatever its name or style (` + "`{id}`, `:id`, `<id>`" + `), of a path any one part. An event's endpoint is
its method and its route; without a route, the template under ` + "`endpoints`" + ` that maps its path (from left to right literal
parts before parameters); else the path with numbers, dates, UUIDs, ULIDs and long hexadecimal numbers replaced by
` + "`{id}`" + `, but for parts that a rule or template spells out. A slash at the end makes another path.
`

// RulesReference gives the reference page of rules files, in Markdown.
func RulesReference() string {
	var b strings.Builder
	b.WriteString(rulesIntroduction)
	b.WriteString("## Keys of the file\n\n| key | meaning | default |\n|---|---|---|\n")
	for _, k := range topKeys {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.name, cell(k.doc), k.def)
		for _, below := range k.keys {
			fmt.Fprintf(&b, "| `%s.%s` | %s | %s |\n", k.name, below.name, cell(below.doc), below.def)
		}
	}
	b.WriteString("\n## Keys of a rule\n\n| key | meaning | default | types |\n|---|---|---|---|\n")
	for i := range ruleKeys {
		k := &ruleKeys[i]
		if types := k.readyTypes(); types != "" {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.name, cell(k.doc), k.def, types)
		}
	}
	b.WriteString("\n## Types\n")
	for _, d := range typeDocs {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n```yaml\nversion: 1\nrules:%s\n```\n", d.kind, d.counts, strings.ReplaceAll(d.example, "\n", "\n  "))
	}
	fmt.Fprintf(&b, "\nTypes `%s` are not available yet: a rule of such a type is refused.\n\n", strings.Join(names(laterTypes), "` and `"))
	b.WriteString(patternReference)
	return b.String()
}

// cell makes text fit for a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// readyTypes names the available types that use the key, "" if there is none.
func (k *ruleKey) readyTypes() string {
	ready := slices.Concat(judgedTypes, learnedTypes)
	used := slices.DeleteFunc(slices.Clone(ready), func(t Type) bool { return !k.usedBy(t) })
	switch {
	case len(used) == len(ready):
		return "all"
	case slices.Equal(used, judgedTypes):
		return "all but learned"
	case slices.Equal(used, learnedTypes):
		return "learned"
	}
	return strings.Join(names(used), ", ")
}
