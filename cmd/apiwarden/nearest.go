package main

import "strings"

// nearest gives the candidate that name most likely was meant to be, "" if none is
// near: the fewest single-letter changes, at most a third of the name.
func nearest(name string, candidates []string) string {
	name = strings.ToLower(name)
	best, bestAway := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if away := editDistance(name, strings.ToLower(c)); away < bestAway {
			best, bestAway = c, away
		}
	}
	return best
}

// editDistance is the Levenshtein distance with swaps of neighbours counted once
// (optimal string alignment).
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
