// Package spelling finds the word that was meant by one that is misspelt.
//
// Runs as:   whoever imports it; pure.
// Trusts:    the candidates.
// Distrusts: the word, which may be of any length.
// Speaks:    nothing.
package spelling

// maxWord bounds a word that is compared with others: longer is no slip.
const maxWord = 64

// Nearest gives the candidate that a misspelt word most likely means, or "".
// The first of equals wins, so tables decide.
func Nearest(word string, candidates []string) string {
	if len(word) > maxWord {
		return ""
	}
	best, least := "", 3 // more than two slips are another word
	if len(word) <= 4 {
		least = 2 // imap is not a misspelt lmtp
	}
	for _, c := range candidates {
		if d := slips(word, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// slips counts the letters left out, added, changed or exchanged with their
// neighbour that make b of a.
func slips(a, b string) int {
	var before, last, now [maxWord + 1]int
	if len(b) > maxWord {
		return maxWord
	}
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range len(a) {
		now[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			now[j+1] = min(last[j]+change, last[j+1]+1, now[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				now[j+1] = min(now[j+1], before[j-1]+1)
			}
		}
		before, last = last, now
	}
	return last[len(b)]
}
