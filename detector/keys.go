package detector

import "slices"

// ruleKey declares one key of a rule: what reads it, who may use it, and what the
// reference page and the JSON Schema say of it.
type ruleKey struct {
	name   string
	shape  shape
	types  []Type // nil: every type
	needed []Type // the types that cannot do without it
	doc    string
	values []string // of an enumeration
	def    string   // what it is when absent
}

// shape is what a value looks like in YAML.
type shape uint8

const (
	shapeText shape = iota
	shapeTexts
	shapeTextOrTexts
	shapeCount
	shapeDecimal
	shapeDuration
	shapeFlag
)

var (
	countingTypes = []Type{TypeUsage, TypeFrequency, TypeReturnPattern, TypeDistinct, TypeWalk}
	judgedTypes   = append(slices.Clone(countingTypes), TypeRatio, TypeMatch)
	learnedTypes  = []Type{TypeLatency, TypeStatusMix, TypeRate, TypeUnseen, TypeSize, TypeOutlier}
	laterTypes    = []Type{TypeLeaky, TypeSequence}
	knownTypes    = slices.Concat(judgedTypes, learnedTypes, laterTypes)
	patternTypes  = []Type{TypeReturnPattern, TypeRatio, TypeMatch}
)

// groupFields are what group_by may add to the subject.
var groupFields = []string{"endpoint", "host", "service", "user_id", "api_key_id"}

// ruleKeys are all keys of a rule, in the order of the reference page.
var ruleKeys = []ruleKey{
	{name: "id", shape: shapeText, needed: knownTypes, doc: "Name of the rule in verdicts and metrics: small letters, digits and dashes, unique over all files."},
	{name: "type", shape: shapeText, needed: knownTypes, values: names(knownTypes), doc: "What the rule counts."},
	{name: "endpoint", shape: shapeTextOrTexts, def: "every endpoint", doc: "METHOD template, or a list of them. * is any method or any one part of the path, a trailing ** the rest of it, {id} a parameter."},
	{name: "when", shape: shapeText, def: "none", doc: "Condition (expr-lang) on event fields; the rule does not see an event that fails it. A comparison with a missing field is false."},
	{name: "pattern", shape: shapeText, types: patternTypes, needed: []Type{TypeReturnPattern, TypeRatio}, doc: "What to look for in the response: text, regex:RE2, json:path OP value, or status:404 | 401,403 | 4xx | >=500."},
	{name: "field", shape: shapeText, types: []Type{TypeDistinct, TypeWalk, TypeLeaky}, needed: []Type{TypeDistinct}, def: "walk: the id in the path", doc: "The event field whose different values are counted, such as path, user_id or response_fields.id. walk: the field whose values are the ids, where they are whole numbers of up to 19 digits."},
	{name: "max_step", shape: shapeCount, types: []Type{TypeWalk}, def: "1", doc: "How far from an id that the client has shown the next may be, up or down, to be a step: 1 to 1000."},
	{name: "threshold", shape: shapeDecimal, types: append(slices.Clone(countingTypes), TypeRatio), needed: []Type{TypeUsage, TypeReturnPattern, TypeDistinct, TypeWalk, TypeRatio}, doc: "The rule fires on event (distinct: value; walk: step) number threshold + 1. ratio: a share between 0 and 1; the rule fires above it."},
	{name: "max_frequency", shape: shapeDecimal, types: []Type{TypeFrequency}, doc: "Events per second, instead of threshold: threshold = floor(max_frequency × window in seconds)."},
	{name: "min_volume", shape: shapeCount, types: []Type{TypeRatio}, needed: []Type{TypeRatio}, doc: "How many seen events it takes before the share is judged."},
	{name: "window", shape: shapeDuration, types: append(slices.Clone(judgedTypes), TypeSequence), def: "that of defaults, 1h", doc: "How far back events count. match: how long the rule stays silent about a subject after a verdict."},
	{name: "window_edge", shape: shapeText, types: append(slices.Clone(judgedTypes), TypeSequence), values: []string{"closed", "half_open"}, def: "that of defaults, closed", doc: "Whether an event exactly one window old still counts (closed) or not (half_open)."},
	{name: "emit", shape: shapeText, types: judgedTypes, values: []string{"edge", "every"}, def: "that of defaults, edge", doc: "edge: one verdict per crossing, armed again when the count has fallen to the threshold. every: a verdict for each event above it."},
	{name: "action", shape: shapeText, values: []string{"ban", "throttle", "alert", "log"}, def: "that of defaults, log", doc: "What is to happen to the subject. Learned types: alert or log."},
	{name: "ban_for", shape: shapeDuration, types: slices.Concat(judgedTypes, laterTypes), def: "that of defaults, 1h", doc: "How long a ban lasts."},
	{name: "throttle_for", shape: shapeDuration, types: slices.Concat(judgedTypes, laterTypes), def: "that of defaults, else the window", doc: "How long a throttle lasts; only with action: throttle."},
	{name: "key", shape: shapeText, types: slices.Concat(judgedTypes, laterTypes), def: "the client's address", doc: "The event field that is the subject, such as user_id; needs input.rekey."},
	{name: "group_by", shape: shapeTexts, def: "[subject]; learned types [endpoint]", doc: "What is counted alone: subject, and with it endpoint, service, host, user_id or api_key_id. walk: endpoint is always part of it. Learned types: [endpoint], [service, endpoint] or [host, endpoint]."},
	{name: "exempt", shape: shapeTexts, def: "none", doc: "Addresses and ranges that the rule does not see, besides those of the file."},
	{name: "mode", shape: shapeText, values: []string{"active", "passive"}, def: "that of the file", doc: "passive: verdicts are stored as logged_only, nobody is banned or throttled."},
	{name: "reset_on_ban", shape: shapeFlag, types: slices.Concat(judgedTypes, laterTypes), def: "false", doc: "Whether a ban by the rule makes it forget what it has counted for the subject."},
	{name: "max_bans_per_minute", shape: shapeCount, types: slices.Concat(judgedTypes, laterTypes), def: "no limit", doc: "Ban budget: bans of the rule beyond it are published as alerts, and say so."},
	{name: "message", shape: shapeText, def: "none", doc: "Text for the client, passed on with verdicts and bans."},
	{name: "tags", shape: shapeTexts, def: "none", doc: "Words of your own, passed on with verdicts."},
	{name: "metric", shape: shapeText, types: []Type{TypeSize, TypeOutlier}, values: slices.Concat(metricNames(TypeOutlier), metricNames(TypeSize)), def: "outlier requests, size request", doc: "outlier: what is added up for each client, by the hour: requests, errors (status 400 and above), distinct_paths, or cost (the sum of latency_ms). size: which size is judged: request (request_bytes), query (the length of the query string) or response (response_bytes)."},
	{name: "sensitivity", shape: shapeText, types: learnedTypes, values: []string{"low", "normal", "high"}, def: "normal", doc: "How far from the learned baseline is too far."},
	{name: "remind", shape: shapeDuration, types: learnedTypes, def: "never", doc: "How often an episode that goes on is reported again."},
	{name: "capacity", shape: shapeCount, types: []Type{TypeLeaky}, doc: "Tokens of the bucket."},
	{name: "leak_every", shape: shapeDuration, types: []Type{TypeLeaky}, doc: "How long until one token is back."},
	{name: "steps", shape: shapeTexts, types: []Type{TypeSequence}, doc: "Conditions that a subject's events fulfil one after the other."},
}

// topKey declares one key of the file itself.
type topKey struct {
	name string
	doc  string
	def  string
	keys []topKey // of a mapping
}

// topKeys are all keys of a rules file, in the order of the reference page.
var topKeys = []topKey{
	{name: "version", doc: "Version of the format: 1. Required in one file at least."},
	{name: "mode", def: "active", doc: "active, or passive: every rule that does not say otherwise only logs."},
	{name: "defaults", doc: "What rules that do not say otherwise use.", keys: []topKey{
		{name: "window_edge", def: "closed", doc: "closed or half_open."},
		{name: "emit", def: "edge", doc: "edge or every."},
		{name: "ban_for", def: "1h", doc: "How long a ban lasts."},
		{name: "throttle_for", def: "the rule's window", doc: "How long a throttle lasts."},
		{name: "window", def: "1h", doc: "How far back events count."},
		{name: "action", def: "log", doc: "ban, throttle, alert or log."},
	}},
	{name: "lateness", def: "30s", doc: "How far behind the newest event of its partition an event may be and still count."},
	{name: "late", def: "drop", doc: "What becomes of later ones: drop (not counted) or dead_letter."},
	{name: "max_skew", def: "5m", doc: "An event further ahead of its record's timestamp is dead-lettered."},
	{name: "exempt", def: "none", doc: "Addresses and ranges that are neither counted nor banned."},
	{name: "trusted_proxies", def: "none", doc: "Addresses and ranges whose x_forwarded_for is believed."},
	{name: "subject", doc: "How much of an address is the subject.", keys: []topKey{
		{name: "ipv4_prefix", def: "32", doc: "1 to 32; shorter than 32 groups networks."},
		{name: "ipv6_prefix", def: "128", doc: "1 to 128; 64 is what one customer usually has."},
	}},
	{name: "body_limit", def: "256KiB", doc: "How much of a response body patterns read."},
	{name: "endpoints", def: "none", doc: "Path templates (METHOD template) for events that have no route."},
	{name: "escalation", def: "none", doc: "Makes the nth ban of a subject last ban_for × factor^(n-1).", keys: []topKey{
		{name: "factor", def: "2", doc: "1 or more."},
		{name: "max", def: "168h", doc: "The longest a ban gets."},
		{name: "decay", def: "720h", doc: "How long without a ban until the next is a first one."},
	}},
	{name: "rules", doc: "The rules."},
}

func names(types []Type) []string {
	texts := make([]string, len(types))
	for i, t := range types {
		texts[i] = string(t)
	}
	return texts
}

// keyOf gives the declaration of a rule's key, nil if there is none.
func keyOf(name string) *ruleKey {
	for i := range ruleKeys {
		if ruleKeys[i].name == name {
			return &ruleKeys[i]
		}
	}
	return nil
}

// usedBy says whether a type uses the key.
func (k *ruleKey) usedBy(t Type) bool { return k.types == nil || slices.Contains(k.types, t) }

// neededBy says whether a type cannot do without the key.
func (k *ruleKey) neededBy(t Type) bool { return slices.Contains(k.needed, t) }

// keyNames gives the names of the keys that a type uses.
func keyNames(t Type) []string {
	var used []string
	for i := range ruleKeys {
		if ruleKeys[i].usedBy(t) {
			used = append(used, ruleKeys[i].name)
		}
	}
	return used
}

func topNames(keys []topKey) []string {
	texts := make([]string, len(keys))
	for i := range keys {
		texts[i] = keys[i].name
	}
	return texts
}
