package detector

import (
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/apiwarden/apiwarden/schemas"
)

// mapping is a YAML mapping that is being read; what is wrong with it goes to the
// report with what, the name of the whole (such as "rule probing"), in front.
type mapping struct {
	*report
	file    string
	line    int
	what    string
	entries []entry
}

// entry is one key and its value, aliases followed.
type entry struct {
	key   string
	line  int
	value *yaml.Node
}

// newMapping reads the keys of a node. False: it is no mapping, and was reported.
func newMapping(r *report, file, what string, node *yaml.Node) (*mapping, bool) {
	m := &mapping{report: r, file: file, line: node.Line, what: what}
	body := follow(node)
	if body == nil || body.Kind != yaml.MappingNode {
		m.refuse(node.Line, "it must be a mapping of keys and values, it is %s", kindOf(body))
		return nil, false
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(body.Content); i += 2 {
		key, value := body.Content[i], body.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			m.refuse(key.Line, "a key must be a word, this one is %s", kindOf(key))
			continue
		case key.ShortTag() == "!!merge":
			merged = append(merged, value)
			continue
		}
		if first := m.find(key.Value); first != nil {
			m.refuse(key.Line, "%s is given twice, first in line %d", key.Value, first.line)
			continue
		}
		m.entries = append(m.entries, entry{key: key.Value, line: key.Line, value: follow(value)})
	}
	merges := maxMerges
	for _, node := range merged {
		m.merge(node, &merges)
	}
	return m, true
}

// maxMerges bounds the merge keys of one mapping, so that an anchor that merges
// itself comes to an end.
const maxMerges = 100

// merge adds the keys of a YAML merge key (<<: *anchor, or a list of them) that the
// mapping does not have. A problem with one of them is told at the merge key's line.
func (m *mapping) merge(node *yaml.Node, left *int) {
	if *left--; *left < 0 {
		if *left == -1 {
			m.refuse(node.Line, "merge keys (<<) that lead to more than %d others", maxMerges)
		}
		return
	}
	line := node.Line
	body := follow(node)
	switch {
	case body != nil && body.Kind == yaml.SequenceNode:
		for _, item := range body.Content {
			m.merge(item, left)
		}
	case body == nil || body.Kind != yaml.MappingNode:
		m.refuse(line, "a merge key (<<) takes the alias of a mapping, this is %s", kindOf(body))
	default:
		for i := 0; i+1 < len(body.Content); i += 2 {
			key, value := body.Content[i], body.Content[i+1]
			if key.ShortTag() == "!!merge" {
				m.merge(value, left)
			} else if m.find(key.Value) == nil {
				m.entries = append(m.entries, entry{key: key.Value, line: line, value: follow(value)})
			}
		}
	}
}

// follow gives what an alias stands for. An alias inside its own anchor stands for
// nothing.
func follow(node *yaml.Node) *yaml.Node {
	for range 2 {
		if node == nil || node.Kind != yaml.AliasNode {
			return node
		}
		node = node.Alias
	}
	return nil
}

func (m *mapping) find(key string) *entry {
	for i := range m.entries {
		if m.entries[i].key == key {
			return &m.entries[i]
		}
	}
	return nil
}

func (m *mapping) refuse(line int, format string, args ...any) {
	m.report.refuse(m.file, line, "%s", m.prefix()+fmt.Sprintf(format, args...))
}

func (m *mapping) warn(line int, format string, args ...any) {
	m.report.warn(m.file, line, "%s", m.prefix()+fmt.Sprintf(format, args...))
}

func (m *mapping) prefix() string {
	if m.what == "" {
		return ""
	}
	return m.what + ": "
}

func kindOf(node *yaml.Node) string {
	switch {
	case node == nil:
		return "an alias of itself"
	case node.Kind == yaml.MappingNode:
		return "a mapping"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.ShortTag() == "!!null":
		return "empty"
	}
	return strconv.Quote(node.Value)
}

func isNull(node *yaml.Node) bool {
	return node != nil && node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// text reads any scalar as it is written.
func (m *mapping) text(e *entry) (string, bool) {
	if e.value == nil || e.value.Kind != yaml.ScalarNode || isNull(e.value) {
		m.refuse(e.line, "%s must be text, it is %s", e.key, kindOf(e.value))
		return "", false
	}
	return e.value.Value, true
}

// oneOf reads one of some words.
func (m *mapping) oneOf(e *entry, words []string) (string, bool) {
	text, ok := m.text(e)
	if !ok {
		return "", false
	}
	if slices.Contains(words, text) {
		return text, true
	}
	if small := strings.ToLower(text); slices.Contains(words, small) {
		m.refuse(e.line, "%s %q must be written in small letters: %s", e.key, text, small)
		return "", false
	}
	m.refuse(e.line, "unknown %s %q; it is one of %s%s", e.key, text, strings.Join(words, ", "), schemas.DidYouMean(text, words))
	return "", false
}

// flag reads true or false.
func (m *mapping) flag(e *entry) bool {
	if e.value == nil || e.value.Kind != yaml.ScalarNode || e.value.ShortTag() != "!!bool" {
		m.refuse(e.line, "%s must be true or false, it is %s", e.key, kindOf(e.value))
		return false
	}
	var v bool
	if err := e.value.Decode(&v); err != nil {
		m.refuse(e.line, "%s must be true or false, it is %q", e.key, e.value.Value)
	}
	return v
}

// count reads a whole number that is least or more.
func (m *mapping) count(e *entry, least int64) (int64, bool) {
	number, ok := m.decimal(e)
	switch {
	case !ok:
		return 0, false
	case !number.IsInt():
		m.refuse(e.line, "%s must be a whole number, it is %s", e.key, e.value.Value)
		return 0, false
	case number.Cmp(big.NewRat(least, 1)) < 0:
		m.refuse(e.line, "%s must be %d or more, it is %s", e.key, least, e.value.Value)
		return 0, false
	case !number.Num().IsInt64():
		m.refuse(e.line, "%s %s is too large", e.key, e.value.Value)
		return 0, false
	}
	return number.Num().Int64(), true
}

const (
	longestDecimal  = 40 // characters
	largestExponent = 40
)

// decimal reads a number exactly as it is written.
func (m *mapping) decimal(e *entry) (*big.Rat, bool) {
	if e.value == nil || e.value.Kind != yaml.ScalarNode || e.value.ShortTag() != "!!int" && e.value.ShortTag() != "!!float" {
		m.refuse(e.line, "%s must be a number, it is %s", e.key, kindOf(e.value))
		return nil, false
	}
	if n, ok := parseRat(e.value.Value); ok {
		return n, true
	}
	m.refuse(e.line, "%s %q is no number that can be used", e.key, e.value.Value)
	return nil, false
}

func parseRat(text string) (*big.Rat, bool) {
	text = strings.TrimPrefix(strings.ReplaceAll(text, "_", ""), "+")
	if len(text) > longestDecimal {
		return nil, false
	}
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return big.NewRat(n, 1), true
	}
	mantissa, exponent, found := strings.Cut(strings.ToLower(text), "e")
	if strings.Trim(mantissa, "-.0123456789") != "" {
		return nil, false // .nan, .inf, hexadecimal fractions
	}
	if exp, err := strconv.Atoi(exponent); found && (err != nil || exp > largestExponent || exp < -largestExponent) {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

// duration reads a duration of least or more, in µs.
func (m *mapping) duration(e *entry, least int64) (int64, bool) {
	text, ok := m.text(e)
	if !ok {
		return 0, false
	}
	d, err := schemas.ParseDuration(strings.TrimSpace(text))
	if err != nil {
		m.refuse(e.line, "%s: %v", e.key, err)
		return 0, false
	}
	us := d.Microseconds()
	if us < least || d < 0 {
		if least > 0 {
			m.refuse(e.line, "%s must be longer than 0, it is %s", e.key, text)
		} else {
			m.refuse(e.line, "%s must not be negative, it is %s", e.key, text)
		}
		return 0, false
	}
	return us, true
}

// factor reads a number of 1 or more.
func (m *mapping) factor(e *entry) (float64, bool) {
	n, ok := m.decimal(e)
	if !ok {
		return 0, false
	}
	f, _ := n.Float64()
	if n.Cmp(big.NewRat(1, 1)) < 0 || math.IsInf(f, 0) {
		m.refuse(e.line, "%s must be 1 or more, it is %s", e.key, e.value.Value)
		return 0, false
	}
	return f, true
}

// item is one text of a list.
type item struct {
	text string
	line int
}

// texts reads a list of texts; single also takes one text for a list of one.
func (m *mapping) texts(e *entry, single bool) []item {
	if e.value != nil && single && e.value.Kind == yaml.ScalarNode && !isNull(e.value) {
		return []item{{e.value.Value, e.line}}
	}
	if e.value == nil || e.value.Kind != yaml.SequenceNode {
		m.refuse(e.line, "%s must be a list, it is %s", e.key, kindOf(e.value))
		return nil
	}
	var items []item
	for _, node := range e.value.Content {
		value := follow(node)
		if value == nil || value.Kind != yaml.ScalarNode || isNull(value) {
			m.refuse(node.Line, "%s must be a list of texts, one of them is %s", e.key, kindOf(value))
			continue
		}
		items = append(items, item{value.Value, node.Line})
	}
	return items
}

// prefixes reads a list of addresses and ranges.
func (m *mapping) prefixes(e *entry) []netip.Prefix {
	var list []netip.Prefix
	for _, it := range m.texts(e, false) {
		p, err := parsePrefix(it.text)
		if err != nil {
			m.refuse(it.line, "%s: %v", e.key, err)
			continue
		}
		if masked := p.Masked(); masked != p {
			m.warn(it.line, "%s: %s is taken as the range %s", e.key, it.text, masked)
			p = masked
		}
		list = append(list, p)
	}
	return list
}

// endpointPatterns reads endpoints.
func (m *mapping) endpointPatterns(e *entry, single bool) []EndpointPattern {
	var list []EndpointPattern
	for _, it := range m.texts(e, single) {
		p, err := ParseEndpoint(it.text)
		if err != nil {
			m.refuse(it.line, "%s: %v", e.key, err)
			continue
		}
		list = append(list, p)
	}
	return list
}

// parsePrefix reads an address or a CIDR range; an IPv4 address in IPv6 clothes
// becomes an IPv4 address.
func parsePrefix(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	wrong := fmt.Errorf("%q is no address or range (examples: 192.0.2.7, 10.0.0.0/8, 2001:db8::/48)", text)
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, wrong
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, wrong
	}
	const mapped = 96 // bits in front of the IPv4 address
	if p.Addr().Is4In6() {
		if p.Bits() < mapped {
			return netip.Prefix{}, fmt.Errorf("%q: write an IPv4 range as one, such as 10.0.0.0/8", text)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p, nil
}
