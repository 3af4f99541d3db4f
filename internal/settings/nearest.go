package settings

import "github.com/agext/levenshtein"

// Nearest gives the candidate that a misspelt word most likely means, or "".
// The first of equals wins, so tables decide.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", 3 // more than two edits apart is another word
	if len(word) <= 4 {
		bestDistance = 2
	}
	for _, c := range candidates {
		if d := levenshtein.Distance(word, c, nil); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}
