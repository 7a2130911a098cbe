package detector

import "bytes"

// Folder makes an endpoint of a path for which there is no template, by replacing
// the parts that only name one thing among many with {id}: numbers (also signed,
// decimal, and digits with separators, such as dates), UUIDs, ULIDs, and runs of
// 16 or more hex digits. Parts that a rule or a template spells out are left alone
// at their place. It is immutable and safe for concurrent use.
type Folder struct {
	named []EndpointPattern // those with a literal part that would be folded
}

// NewFolder makes a Folder that leaves alone what patterns and templates (which
// may be nil) spell out.
func NewFolder(patterns []EndpointPattern, t *Templates) *Folder {
	f := &Folder{}
	if t != nil {
		patterns = append(patterns[:len(patterns):len(patterns)], t.patterns...)
	}
	for i := range patterns {
		for _, part := range patterns[i].parts {
			if part.kind == partLiteral && isID([]byte(part.text)) {
				f.named = append(f.named, patterns[i])
				break
			}
		}
	}
	return f
}

var idPart = []byte("{id}")

// Fold appends the folded path to dst. What is folded already stays as it is. Does
// not allocate beyond dst.
func (f *Folder) Fold(dst, path []byte) []byte {
	rest := path
	for at := 0; ; {
		part, after, more := bytes.Cut(rest, slash)
		if isID(part) && !f.names(path, at, part) {
			dst = append(dst, idPart...)
		} else {
			dst = append(dst, part...)
		}
		if !more {
			return dst
		}
		dst = append(dst, '/')
		at += len(part) + 1
		rest = after
	}
}

// names says whether a pattern spells out the part that begins at path[at].
func (f *Folder) names(path []byte, at int, part []byte) bool {
	for i := range f.named {
		if f.named[i].spells(path, at, part) {
			return true
		}
	}
	return false
}

// spells says whether p agrees with the parts before path[at] and has part itself
// as the literal there.
func (p *EndpointPattern) spells(path []byte, at int, part []byte) bool {
	if at == 0 || path[0] != '/' {
		return false
	}
	begin := 1
	for i := range p.parts {
		if begin == at {
			return p.parts[i].kind == partLiteral && p.parts[i].text == string(part)
		}
		before, _, _ := bytes.Cut(path[begin:], slash)
		if !p.parts[i].matches(before, false) {
			return false
		}
		begin += len(before) + 1
	}
	return false
}

const (
	minHexID   = 16
	ulidLength = 26
)

// isID says whether a part of a path names one thing among many.
func isID(part []byte) bool {
	var digits, hex, separators, crockford int
	for i, c := range part {
		switch {
		case c >= '0' && c <= '9':
			digits++
			hex++
			crockford++
		case c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
			hex++
			crockford++
		case c == '-' || c == '.' || c == '_' || c == ':' || c == ',' || c == '+' && i == 0:
			separators++
		case c >= 'g' && c <= 'z' || c >= 'G' && c <= 'Z':
			if c |= 0x20; c != 'i' && c != 'l' && c != 'o' && c != 'u' {
				crockford++
			}
		default:
			return false
		}
	}
	n := len(part)
	switch {
	case digits == 0:
		return false
	case digits+separators == n:
		first := part[0]
		return first != '.' && first != '_' && first != ':' && first != ','
	case hex == n:
		return n >= minHexID
	case crockford == n && n == ulidLength:
		return part[0] <= '7' // 128 bits in base 32
	}
	return isUUID(part, hex)
}

func isUUID(part []byte, hex int) bool {
	return len(part) == 36 && hex == 32 && part[8] == '-' && part[13] == '-' && part[18] == '-' && part[23] == '-'
}
