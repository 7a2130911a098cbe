package detector

import (
	"unicode"
	"unicode/utf8"
)

// caseTable takes the case out of text, by Unicode's simple folding, the relation
// that (?i) of a regexp and bytes.EqualFold know: two texts fold to the same bytes
// exactly if EqualFold holds for them. Scripts with case stand nearly all in the
// table; the few beyond it are computed.
type caseTable [tableRunes]uint16

const tableRunes = 0x2e00 // up to Supplemental Punctuation: Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee, Glagolitic, Coptic

func newCaseTable() *caseTable {
	t := new(caseTable)
	for r := range rune(tableRunes) {
		t[r] = uint16(foldRune(r))
	}
	return t
}

// foldRune gives the representative of the runes that differ from r in case alone:
// the smallest, or its small letter where that is ASCII. So folded text is never
// longer than the text.
func foldRune(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

// fold appends text without its case to dst. Bytes that are not UTF-8 stay.
func (t *caseTable) fold(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			dst = append(dst, c)
		case r < tableRunes:
			dst = utf8.AppendRune(dst, rune(t[r]))
		default:
			dst = utf8.AppendRune(dst, foldRune(r))
		}
		i += n
	}
	return dst
}
