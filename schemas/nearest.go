package schemas

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// Nearest gives the one of words that word was most likely meant to be, "" if none
// is near: the fewest changed letters, at most a third of the word, or a beginning.
func Nearest(word string, words []string) string {
	word = strings.ToLower(word)
	best, least := "", max(2, len(word)/3)+1
	for _, w := range words {
		lower := strings.ToLower(w)
		d := levenshtein.ComputeDistance(word, lower)
		if len(word) > 2 && strings.HasPrefix(lower, word) {
			d = min(d, 1)
		}
		if d < least {
			best, least = w, d
		}
	}
	return best
}

// DidYouMean is the end of a sentence about an unknown name: the nearest known one
// as a question, "" if none is near.
func DidYouMean(word string, words []string) string {
	if near := Nearest(word, words); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}
