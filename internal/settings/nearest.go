package settings

import (
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest gives the candidate that a misspelt word most likely means, or "".
// The first of equals wins, so tables decide.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", 3 // more than two edits apart is another word
	if len(word) <= 4 {
		bestDistance = 2 // imap is not a misspelt lmtp
	}
	for _, c := range candidates {
		d := levenshtein.Distance(word, c, nil)
		if d == 2 && sorted(word) == sorted(c) {
			d = 1 // two letters exchanged are one slip of the fingers
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func sorted(s string) string {
	letters := strings.Split(s, "")
	slices.Sort(letters)
	return strings.Join(letters, "")
}
